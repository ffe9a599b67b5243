"""The broker of the bench: the process that `manage.py broker` is, with a real PostgreSQL and tickets for its doors."""

import contextlib
import http.client
import os
import secrets
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import django

from tests.portal import until
from visa.postgres import EmbeddedPostgres

from .proxies import Running, running
from .viewer import Viewer, opening

PORTAL = "http://localhost:8000"


class Broker:
    """Doors into one desktop and one web app."""

    def __init__(self, process: Running, port: int, rfb: int) -> None:
        from tests import facility as facilities

        self.process = process
        self.port = port
        self.rfb = rfb
        """Where the desktop itself is."""
        facility = facilities.build()
        self._desk = facilities.instance(facility, facility.ada)
        self._notebook = facilities.instance(facility, facility.ada, environment=facility.jupyter)

    def sit(self, mode: str) -> Viewer:
        protocols = ["visa-desktop", f"ticket.{_ticket(self._desk, mode=mode)}"]
        origin = f"Origin: {PORTAL}\r\n"
        return Viewer(self.port, protocols=protocols, host=f"localhost:{self.port}", headers=origin)

    def head(self, mode: str) -> bytes:
        """A browser's request for a seat."""
        return opening(
            protocols=["visa-desktop", f"ticket.{_ticket(self._desk, mode=mode)}"],
            host=f"localhost:{self.port}",
            headers=f"Origin: {PORTAL}\r\n",
        )

    def enter(self) -> dict[str, str]:
        """The headers with which a browser asks for the web app's pages."""
        host = f"{self._notebook.key}.apps.localhost:{self.port}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        headers = {"Host": host, "Origin": PORTAL, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/_enter", urlencode({"ticket": _ticket(self._notebook)}), headers)
        answer = connection.getresponse()
        assert answer.status == 303, answer.read()
        return {"Host": host, "Cookie": (answer.headers["Set-Cookie"] or "").split(";")[0]}

    def seats(self) -> int:
        from instances.models import Connection

        return Connection.objects.filter(app="desktop", closed=None).count()


@contextlib.contextmanager
def broker(folder: Path, port: int, *, rfb: int, http: int) -> Iterator[Broker]:
    server = EmbeddedPostgres(folder / "postgres")
    environment = os.environ | {
        "DATABASE_URL": server.database("visa"),
        "DJANGO_SETTINGS_MODULE": "visa.settings",
        "VISA_DATA": str(folder / "data"),
        "VISA_SECRET_KEY": "bench",
        "VISA_LOG_LEVEL": "WARNING",
        "VISA_PORTAL_URL": PORTAL,
        "VISA_BROKER_URL": f"http://localhost:{port}",
        "VISA_APPS_HOST": f"apps.localhost:{port}",
        "BENCH_DESKTOP": str(rfb),
        "BENCH_WEB_APP": str(http),
    }
    os.environ |= environment
    try:
        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        command = [sys.executable, "-m", "tests.bench_broker.process", str(port)]
        try:
            with running(command, port, folder / "broker.log", environment) as process:
                until(lambda: _ready(port), what="the broker to listen")
                yield Broker(process, port, rfb)
        finally:
            connection.close()
    finally:
        server.stop()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _ticket(instance: object, **fields: object) -> str:
    """As tests/broker makes them."""
    from hashlib import sha256

    from django.utils import timezone

    from instances.models import Instance, Ticket

    assert isinstance(instance, Instance)
    secret = secrets.token_urlsafe(32)
    wanted = {"user": instance.owner, "instance": instance, "app": instance.environment.apps[0], "mode": "control"}
    expires = timezone.now() + timedelta(seconds=30)
    Ticket.objects.create(digest=sha256(secret.encode()).hexdigest(), expires=expires, **(wanted | fields))
    return secret
