"""A real broker on loopback, real desktops and a small web app behind it."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from django.db import connection

from instances.broker import server
from instances.broker.handshake import vnc_response
from instances.errors import ProviderError
from instances.models import Instance
from instances.providers.base import Endpoint
from instances.services import clouds
from tests import facility as facilities
from tests.portal import free_ports, until

from . import world


class Cloud:
    """Endpoints by instance and app; the rest of a provider is not the broker's business."""

    def __init__(self) -> None:
        self.endpoints: dict[tuple[str, str], Endpoint] = {}

    def endpoint(self, key: str, app: str) -> Endpoint:
        try:
            return self.endpoints[key, app]
        except KeyError:
            raise ProviderError("not here", retry=True) from None


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    cloud = Cloud()
    monkeypatch.setattr(clouds, "provider_for", lambda _: cloud)
    return cloud


@pytest.fixture
def facility(transactional_db: None) -> facilities.Facility:
    return facilities.build()


@pytest.fixture
def desk(facility: facilities.Facility) -> Instance:
    return facilities.instance(facility, facility.ada)


@pytest.fixture
def notebook(facility: facilities.Facility) -> Instance:
    return facilities.instance(facility, facility.ada, environment=facility.jupyter)


@pytest.fixture
def broker(facility: facilities.Facility, cloud: Cloud, settings) -> Iterator[world.Broker]:  # type: ignore[no-untyped-def]
    port = free_ports(1)
    settings.PORTAL_URL = world.PORTAL
    settings.BROKER_URL = f"http://localhost:{port}"
    settings.APPS_HOST = f"apps.localhost:{port}"
    settings.LISTEN_URL = world.listen_url(settings.DATABASE_URL, connection.settings_dict["NAME"])
    serving = uvicorn.Server(server.configuration("127.0.0.1", port))
    application = serving.config.app
    assert isinstance(application, server.Broker)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    try:
        until(lambda: serving.started and application.presence.hearing, what="the broker to listen", seconds=10)
        yield world.Broker(port, application)
    finally:
        serving.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="visa-broker-") as name:
        yield Path(name)


@pytest.fixture
def xvnc(folder: Path) -> Iterator[world.Xvnc]:
    """TigerVNC's server, with the password SECRET."""
    passwords = folder / "password"
    obfuscation = bytes([23, 82, 107, 6, 35, 78, 88, 7]).decode()
    passwords.write_bytes(vnc_response(world.SECRET.encode()[:8], obfuscation))
    running = world.Xvnc(folder / "vnc", passwords)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def desktop(desk: Instance, cloud: Cloud, xvnc: world.Xvnc) -> world.Xvnc:
    cloud.endpoints[desk.key, "desktop"] = Endpoint(path=str(xvnc.path), secret=world.SECRET)
    return xvnc


@pytest.fixture
async def app(notebook: Instance, cloud: Cloud, folder: Path) -> AsyncIterator[world.WebApp]:
    web_app = world.WebApp(folder / "app")
    cloud.endpoints[notebook.key, "jupyter"] = Endpoint(path=str(web_app.path), secret="upstream-token")
    async with web_app.running():
        yield web_app


@pytest.fixture
async def flood(desk: Instance, cloud: Cloud, folder: Path) -> AsyncIterator[world.Flood]:
    """A desktop that sends without end and reads nothing."""
    flooding = world.Flood()
    listening = await asyncio.start_unix_server(flooding.serve, folder / "flood")
    cloud.endpoints[desk.key, "desktop"] = Endpoint(path=str(folder / "flood"))
    async with listening:
        yield flooding
        flooding.over.set()
