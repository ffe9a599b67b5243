"""Machines in a cloud answer over TLS with a certificate of their own: the broker talks to that one and to no other."""

import asyncio
import contextlib
import os
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from instances.broker.handshake import HandshakeFailed
from instances.broker.thumbnail import capture
from instances.models import Instance
from instances.providers.base import Endpoint
from instances.providers.secrets import derived
from tests.portal import free_ports, until

from .conftest import Cloud
from .world import SECRET, Broker, WebApp, Xvnc

OURS = derived("the deployment's key", "ab" * 16, 1)
ANOTHER = derived("the deployment's key", "cd" * 16, 1)
POINTER = struct.pack(">BBHH", 5, 0, 123, 234)


class SecureXvnc(Xvnc):
    """On a port of loopback, with X509Vnc and nothing else."""

    def __init__(self, folder: Path, passwords: Path) -> None:
        super().__init__(folder / "unused", passwords)
        (folder / "certificate").write_text(OURS.certificate)
        (folder / "key").write_text(OURS.private_key)
        self.folder = folder
        self.port = free_ports(1)

    def start(self) -> "SecureXvnc":
        reading, writing = os.pipe()
        command = ["Xvnc", "-displayfd", str(writing), "-rfbport", str(self.port), "-interface", "127.0.0.1"]
        command += ["-UseIPv6=0", "-SecurityTypes", "X509Vnc", "-PasswordFile", str(self.passwords)]
        command += ["-X509Cert", str(self.folder / "certificate"), "-X509Key", str(self.folder / "key")]
        command += ["-geometry", "800x600", "-depth", "24", "-nolisten", "tcp", "-AlwaysShared", "-UseBlacklist=0"]
        self.process = subprocess.Popen(
            command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(writing)
        with os.fdopen(reading) as told:
            self.display = f":{told.readline().strip()}"
        return self

    def endpoint(self, certificate: str = OURS.fingerprint) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port, secret=SECRET, certificate=certificate)


@pytest.fixture
def secure(folder: Path, xvnc: Xvnc) -> Iterator[SecureXvnc]:
    running = SecureXvnc(folder, xvnc.passwords)
    try:
        yield running.start()
    finally:
        running.stop()


@contextlib.asynccontextmanager
async def stunnel(folder: Path, app: WebApp) -> AsyncIterator[int]:
    port = free_ports(1)
    (folder / "both.pem").write_text(OURS.private_key + OURS.certificate)
    (folder / "stunnel.conf").write_text(
        "foreground = quiet\nsyslog = no\npid =\n[jupyter]\n"
        f"accept = 127.0.0.1:{port}\nconnect = {app.path}\ncert = {folder / 'both.pem'}\n"
    )
    process = await asyncio.create_subprocess_exec("stunnel", str(folder / "stunnel.conf"))
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        yield port
    finally:
        process.kill()
        await process.wait()


async def test_a_desktop_is_seen_and_driven_through_tls(
    broker: Broker, desk: Instance, cloud: Cloud, secure: SecureXvnc
) -> None:
    cloud.endpoints[desk.key, "desktop"] = secure.endpoint()
    async with broker.sit(desk) as seat:
        assert await seat.see()
        await seat.socket.send(POINTER)
        await asyncio.to_thread(until, lambda: secure.pointer() == (123, 234), what="the pointer to move")


async def test_a_thumbnail_is_taken_through_tls(secure: SecureXvnc) -> None:
    assert (await capture(secure.endpoint())).startswith(b"\xff\xd8")


async def test_another_certificate_gets_no_answer_to_its_challenge(
    broker: Broker, desk: Instance, cloud: Cloud, secure: SecureXvnc
) -> None:
    with pytest.raises(HandshakeFailed, match="another machine"):
        await capture(secure.endpoint(ANOTHER.fingerprint))
    cloud.endpoints[desk.key, "desktop"] = secure.endpoint(ANOTHER.fingerprint)
    async with broker.knock(await broker.ticket(desk)) as socket:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 10)


async def test_a_desktop_without_tls_is_refused_where_a_certificate_is_known(xvnc: Xvnc) -> None:
    plain = Endpoint(path=str(xvnc.path), secret=SECRET, certificate=OURS.fingerprint)
    with pytest.raises(HandshakeFailed, match="offers no TLS"):
        await capture(plain)


async def test_a_picture_larger_than_all_buffers_comes_whole_and_a_slow_reader_holds_it_up(
    broker: Broker, desk: Instance, cloud: Cloud, secure: SecureXvnc
) -> None:
    cloud.endpoints[desk.key, "desktop"] = secure.endpoint()
    async with broker.sit(desk) as seat:
        for _ in range(4):
            await seat.socket.send(struct.pack(">BxHi", 2, 1, 0) + struct.pack(">BBHHHH", 3, 0, 0, 0, 800, 600))
            await asyncio.sleep(0.3)
            pixels = 0
            while pixels < 800 * 600:
                assert await seat.read(1) == b"\0"
                (count,) = struct.unpack(">xH", await seat.read(3))
                for _ in range(count):
                    _, _, width, height, _ = struct.unpack(">HHHHi", await seat.read(12))
                    pixels += len(await seat.read(width * height * 4)) // 4


async def test_jupyter_is_reached_through_https_with_the_pinned_certificate_only(
    broker: Broker, notebook: Instance, cloud: Cloud, folder: Path
) -> None:
    app = WebApp(folder / "tls-app")
    async with app.running(), stunnel(folder, app) as port, broker.browser() as browser:
        endpoint = Endpoint(host="127.0.0.1", port=port, secret="token", certificate=OURS.fingerprint)
        cloud.endpoints[notebook.key, "jupyter"] = endpoint
        cookie = {"Cookie": await broker.enter(browser, notebook)}
        answer = await browser.get(f"{broker.origin(notebook)}/api/status", headers=cookie)
        assert answer.status == 200
        headers = cookie | {"Origin": broker.origin(notebook)}
        async with browser.ws_connect(f"{broker.origin(notebook)}/socket", headers=headers) as socket:
            await socket.send_str("hello")
            assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT


async def test_jupyter_with_another_certificate_is_never_told_its_token(
    broker: Broker, notebook: Instance, cloud: Cloud, folder: Path
) -> None:
    app = WebApp(folder / "tls-app")
    async with app.running(), stunnel(folder, app) as port, broker.browser() as browser:
        endpoint = Endpoint(host="127.0.0.1", port=port, secret="token", certificate=ANOTHER.fingerprint)
        cloud.endpoints[notebook.key, "jupyter"] = endpoint
        cookie = {"Cookie": await broker.enter(browser, notebook)}
        started = time.monotonic()
        answer = await browser.get(f"{broker.origin(notebook)}/api/status", headers=cookie)
        assert answer.status == 502 and time.monotonic() - started < 10
        assert app.requests == []
