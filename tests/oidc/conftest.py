"""A real portal, a real provider in a process of its own, and between them a wire on which a test can lie."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from django.conf import settings as django_settings
from joserfc.jwk import RSAKey

from auth.oidc import client as oidc_client
from auth.oidc.demo_provider.people import Person, read
from visa.demo import PEOPLE

SECRET = "a secret of the tests"
Fault = Callable[[bytes], bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def provider_process(portal: str, data: Path, *, issuer: str = "", secret: str = SECRET) -> Iterator[str]:
    """`manage.py demo_provider` on a free port, as `up` starts it; its address."""
    port = free_port()
    command = ["manage.py", "demo_provider", "--port", str(port), "--portal-url", portal, "--data", str(data)]
    process = subprocess.Popen(
        [sys.executable, *command, *(["--issuer", issuer] if issuer else [])],
        cwd=django_settings.ROOT,
        env=os.environ | {"VISA_OIDC_CLIENT_ID": "portal", "VISA_OIDC_CLIENT_SECRET": secret},
    )
    try:
        url = f"http://localhost:{port}"
        for _ in range(400):
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/.well-known/openid-configuration").status_code == 200:
                    break
            assert process.poll() is None, "the provider has ended"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Wire:
    """Passes everything on to `target`; what `faults` says about a path happens to the body of its answer."""

    target: str = ""
    url: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    cut: bool = False
    seen: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    wire = Wire()

    class Relay(BaseHTTPRequestHandler):
        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            wire.seen.append(self.path)
            if wire.cut:
                return self.send_error(502)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = httpx2.request(self.command, wire.target + self.path, content=body, headers=headers)
            content = wire.faults.get(urlsplit(self.path).path, bytes)(answer.content)
            self.send_response(answer.status_code)
            for name in ("content-type", "location", "content-security-policy", "cache-control"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = relay  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    wire.url = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield wire
    server.shutdown()


@pytest.fixture(scope="session")
def provider_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provider")


@pytest.fixture(scope="session")
def provider(live_server: Any, wire: Wire, provider_data: Path) -> Iterator[str]:
    with provider_process(live_server.url, provider_data, issuer=wire.url) as url:
        yield url


@pytest.fixture
def key(provider: str, provider_data: Path) -> RSAKey:
    """The provider's own signing key: forgeries made with it have a perfect signature."""
    return RSAKey.import_key(json.loads((provider_data / "provider-key.json").read_text()))


@pytest.fixture
def portal(live_server: Any, wire: Wire, provider: str, settings: Any, transactional_db: None) -> Iterator[str]:
    wire.target, wire.cut = provider, False
    wire.faults.clear()
    wire.seen.clear()
    settings.PORTAL_URL = live_server.url
    settings.OIDC = {
        "issuer": wire.url,
        "client_id": "portal",
        "client_secret": SECRET,
        "scope": "openid email profile aarc",
        "title": "MyAccessID",
    }
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    oidc_client._client.cache_clear()
    yield live_server.url
    oidc_client._client.cache_clear()


@dataclass
class Browser:
    portal: str
    http: httpx2.Client

    def start(self, next_page: str = "") -> str:
        """The provider's page that the portal sends to."""
        answer = self.http.get(f"{self.portal}/sign-in/start/", params={"next": next_page} if next_page else {})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def choose(self, page: str, person: Person | None) -> str:
        """Press somebody's button on the provider's page, or Cancel; the address of the callback."""
        answer = self.http.get(page)
        handle = re.search(r'name="request" value="([^"]+)"', answer.text)
        assert handle, answer.text
        form = {"request": handle[1]} | ({"sub": person.sub} if person else {})
        answer = self.http.post(f"{urlsplit(page).scheme}://{urlsplit(page).netloc}/authorize/decide", data=form)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def sign_in(self, person: Person | None, next_page: str = "") -> httpx2.Response:
        return self.http.get(self.choose(self.start(next_page), person))

    @property
    def session(self) -> str | None:
        return self.http.cookies.get("visa_session")

    @property
    def is_signed_in(self) -> bool:
        """Whoever is signed in is sent on by the sign-in page."""
        return self.http.get(f"{self.portal}/sign-in/").status_code == 302


@pytest.fixture
def browser(portal: str) -> Iterator[Browser]:
    with httpx2.Client() as http:
        yield Browser(portal, http)


@pytest.fixture
def stranger(portal: str) -> Iterator[Browser]:
    with httpx2.Client() as http:
        yield Browser(portal, http)


@pytest.fixture(scope="session")
def people() -> dict[str, Person]:
    return {person.name.split()[0]: person for person in read(PEOPLE)}


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
