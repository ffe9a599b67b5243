"""A real portal, a real provider in a process of its own, and between them a wire on which a test can lie."""

import contextlib
import json
import os
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
import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection
from joserfc.jwk import RSAKey

from auth.oidc import client as oidc_client
from auth.oidc.demo_provider.people import Person, read
from visa.demo import PEOPLE

from .browser import Browser
from .independent import SECRET, Independent, Visitor, independent_process

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


@contextlib.contextmanager
def wired() -> Iterator[Wire]:
    wire = Wire()

    class Relay(BaseHTTPRequestHandler):
        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            wire.seen.append(self.path)
            if wire.cut:
                return self.send_error(502)
            # The host stays the wire's, so that whoever answers thinks that it is there.
            answer = httpx2.request(self.command, wire.target + self.path, content=body, headers=dict(self.headers))
            content = wire.faults.get(urlsplit(self.path).path, bytes)(answer.content)
            self.send_response(answer.status_code)
            for name in ("content-type", "location", "content-security-policy", "cache-control"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            for cookie in answer.headers.get_list("set-cookie"):
                self.send_header("Set-Cookie", cookie)
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
def wire() -> Iterator[Wire]:
    with wired() as wire:
        yield wire


@pytest.fixture(scope="session")
def behind(live_server: Any) -> Iterator[tuple[Independent, Wire]]:
    """A second certified provider, all of whose answers pass a wire."""
    with wired() as wire, independent_process(live_server.url, issuer=wire.url) as provider:
        wire.target = f"http://localhost:{provider.port}"
        yield provider, wire


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


@pytest.fixture(scope="session")
def independent(live_server: Any) -> Iterator[Independent]:
    with independent_process(live_server.url) as provider:
        yield provider


@pytest.fixture
def algorithm() -> str:
    """Of the provider's signatures; tests that care about it parametrize it."""
    return "ES256"


@pytest.fixture
def visitor(live_server: Any, independent: Independent, algorithm: str, settings: Any, transactional_db: None) -> Any:
    """A browser at a portal that trusts the independent provider."""
    yield from visiting(live_server, independent, algorithm, settings)


@pytest.fixture
def deceived(
    live_server: Any, behind: tuple[Independent, Wire], algorithm: str, settings: Any, transactional_db: None
) -> Any:
    """The same, with a wire between the two on which a test can lie."""
    provider, wire = behind
    wire.cut = False
    wire.faults.clear()
    yield from visiting(live_server, provider, algorithm, settings)


def visiting(live_server: Any, provider: Independent, algorithm: str, settings: Any) -> Iterator[Visitor]:
    settings.PORTAL_URL = live_server.url
    settings.OIDC = {
        "issuer": provider.url,
        "client_id": f"portal-{algorithm}",
        "client_secret": SECRET,
        "scope": "openid email profile aarc",
        "title": "MyAccessID",
    }
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    oidc_client._client.cache_clear()
    with httpx2.Client() as http:
        yield Visitor(live_server.url, http)
    oidc_client._client.cache_clear()


@pytest.fixture
def further(portal: str, independent: Independent, settings: Any, tmp_path: Path) -> dict[str, Any]:
    """The independent provider as a further one beside the demo provider; its entry in VISA_OIDC_MORE."""
    os.environ["TESTS_FURTHER_SECRET"] = SECRET
    entry = {
        "issuer": independent.url,
        "client_id": "portal-ES256",
        "client_secret_env": "TESTS_FURTHER_SECRET",
        "scope": "openid email profile aarc",
        "title": "UmbrellaID",
        "sign_in": True,
    }
    (tmp_path / "more.json").write_text(json.dumps([entry]))
    settings.OIDC_MORE = str(tmp_path / "more.json")
    return entry


@pytest.fixture
def double(portal: str, further: dict[str, Any]) -> Iterator[Visitor]:
    """A browser at a portal that knows two providers."""
    with httpx2.Client() as http:
        yield Visitor(portal, http)


@pytest.fixture
def heard() -> Iterator[Any]:
    """Everything announced on the bus since the test began."""
    connection.ensure_connection()
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as conn:
        conn.execute("LISTEN visa")
        yield lambda: [json.loads(n.payload) for n in conn.notifies(timeout=1, stop_after=1)]


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
