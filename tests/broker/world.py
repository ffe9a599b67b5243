"""What stands around the broker in its tests."""

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from django.utils import timezone
from websockets.asyncio.client import ClientConnection, connect

from auth.models import User
from instances.broker.database import in_database
from instances.broker.handshake import drive, towards_instance
from instances.broker.server import Broker as Application
from instances.models import Instance, Ticket

PORTAL = "http://localhost:8000"
SECRET = "opensesame"
UPDATE = struct.pack(">BBHHHH", 3, 0, 0, 0, 32, 32)


def listen_url(url: str, name: str) -> str:
    """Of the tests' own database, for the bus."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def new_ticket(instance: Instance, user: User | None = None, **fields: Any) -> str:
    secret = secrets.token_urlsafe(32)
    Ticket.objects.create(
        **{
            "digest": sha256(secret.encode()).hexdigest(),
            "user": user or instance.owner,
            "instance": instance,
            "app": instance.environment.apps[0],
            "mode": "control",
            "expires": timezone.now() + timedelta(seconds=30),
        }
        | fields
    )
    return secret


@dataclass
class Broker:
    port: int
    application: Application

    def knock(self, ticket: str, *, origin: str | None = PORTAL, path: str = "/desktop") -> connect:
        protocols = ["visa-desktop", f"ticket.{ticket}"]
        return connect(
            f"ws://localhost:{self.port}{path}",
            host="127.0.0.1",
            port=self.port,
            origin=origin,  # type: ignore[arg-type]
            subprotocols=protocols,  # type: ignore[arg-type]
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=0.3,
            proxy=None,
        )

    async def ticket(self, instance: Instance, user: User | None = None, **fields: Any) -> str:
        return await in_database(new_ticket, instance, user, **fields)

    @contextlib.asynccontextmanager
    async def sit(self, instance: Instance, **fields: Any) -> AsyncIterator["Desktop"]:
        """In the desktop of `instance`, after RFB's handshake."""
        async with self.knock(await self.ticket(instance, **fields)) as socket:
            seat = Desktop(socket)
            await seat.begin()
            yield seat

    def origin(self, instance: Instance) -> str:
        return f"http://{instance.key}.apps.localhost:{self.port}"

    @contextlib.asynccontextmanager
    async def browser(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Finds `*.localhost` on loopback, as browsers do, and keeps no cookies."""
        connector = aiohttp.TCPConnector(resolver=Loopback(), limit=0)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False) as session:
            yield session

    async def enter(self, session: aiohttp.ClientSession, instance: Instance, ticket: str = "", **headers: str) -> str:
        """Post a ticket; the cookie, as a Cookie header."""
        answer = await session.post(
            f"{self.origin(instance)}/_enter",
            data={"ticket": ticket or await self.ticket(instance)},
            headers={"Origin": PORTAL} | headers,
            allow_redirects=False,
        )
        assert answer.status == 303, await answer.text()
        assert answer.headers["Location"] == "/lab"
        return answer.headers["Set-Cookie"].split(";")[0]


class Loopback(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        return None


class Desktop:
    """A viewer that speaks RFB through the broker."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.buffer = b""
        self.width = self.height = 0

    async def begin(self) -> None:
        init = await drive(towards_instance(""), read=self.read, send=self.socket.send)
        self.width, self.height = init.width, init.height

    async def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.buffer += await asyncio.wait_for(self.socket.recv(), 10)  # type: ignore[operator]
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    async def see(self) -> bytes:
        """32 x 32 raw pixels of the top left corner."""
        await self.socket.send(struct.pack(">BxHi", 2, 1, 0) + UPDATE)
        while (kind := (await self.read(1))[0]) != 0:
            assert kind == 2, f"server message {kind}"
        (count,) = struct.unpack(">xH", await self.read(3))
        pixels = b""
        for _ in range(count):
            _, _, width, height, encoding = struct.unpack(">HHHHi", await self.read(12))
            assert encoding == 0
            pixels += await self.read(width * height * 4)
        return pixels


class Xvnc:
    def __init__(self, path: Path, passwords: Path) -> None:
        self.path = path
        self.passwords = passwords
        self.display = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Xvnc":
        reading, writing = os.pipe()
        command = ["Xvnc", "-displayfd", str(writing), "-rfbport=-1", "-rfbunixpath", str(self.path)]
        command += ["-rfbunixmode=0600", "-SecurityTypes", "VncAuth", "-PasswordFile", str(self.passwords)]
        command += ["-geometry", "800x600", "-depth", "24", "-nolisten", "tcp", "-AlwaysShared"]
        self.process = subprocess.Popen(
            command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(writing)
        with os.fdopen(reading) as told:
            self.display = f":{told.readline().strip()}"
        deadline = time.monotonic() + 10
        while not self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self

    def pointer(self) -> tuple[int, int]:
        """Where the pointer of the desktop is."""
        said = subprocess.check_output(["xdotool", "getmouselocation"], env={"DISPLAY": self.display}).decode().split()
        return int(said[0].removeprefix("x:")), int(said[1].removeprefix("y:"))

    def buttons(self) -> int:
        """Which buttons of its pointer are down: 1 is the first, 2 the second, 4 the third."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XDefaultRootWindow.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.display.encode()))
        out = [ctypes.c_ulong() for _ in range(2)] + [ctypes.c_int() for _ in range(4)]
        mask = ctypes.c_uint()
        root = ctypes.c_ulong(x11.XDefaultRootWindow(display))
        x11.XQueryPointer(display, root, *(ctypes.byref(one) for one in out), ctypes.byref(mask))
        x11.XCloseDisplay(display)
        return mask.value >> 8 & 7

    def screens(self) -> list[str]:
        """The geometry of each monitor that the desktop has."""
        said = subprocess.check_output(["xrandr", "--current"], env={"DISPLAY": self.display}).decode()
        return re.findall(r" connected (?:primary )?(\d+x\d+\+\d+\+\d+)", said)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


class Flood:
    def __init__(self) -> None:
        self.sent = 0
        self.over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for said, expected in [(b"RFB 003.008\n", 12), (b"\1\1", 1), (bytes(4), 1)]:
                writer.write(said)
                await reader.readexactly(expected)
            writer.write(struct.pack(">HH16xI", 800, 600, 4) + b"test")
            while not self.over.is_set():
                writer.write(bytes(1 << 16))
                await writer.drain()
                self.sent += 1 << 16


class WebApp:
    """Something like Jupyter: tells what it was asked, takes and gives streams, and echoes WebSockets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[web.Request] = []
        self.received = 0
        self.sent = 0
        self.body = b""
        self.cut = 1 << 40
        self.gone = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/upload", self.upload)
        app.router.add_post("/sleepy", self.sleepy)
        app.router.add_get("/download", self.download)
        app.router.add_get("/endless", self.endless)
        app.router.add_get("/body", self.whole)
        app.router.add_get("/socket", self.socket)
        app.router.add_get("/api/kernels/{kernel}/channels", self.socket)
        app.router.add_get("/cookies", self.cookies)
        app.router.add_route("*", "/{tail:.*}", self.echo)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, self.path).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def echo(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        body = await request.text()
        told = {
            "path": request.raw_path,
            "method": request.method,
            "body": body,
            "headers": list(request.headers.items()),
        }
        return web.json_response(told, headers={"X-Secret-Hop": "1", "Connection": "x-secret-hop"})

    async def upload(self, request: web.Request) -> web.Response:
        digest = sha256()
        async for chunk in request.content.iter_any():
            self.received += len(chunk)
            digest.update(chunk)
        return web.json_response({"digest": digest.hexdigest(), "headers": dict(request.headers)})

    async def sleepy(self, request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async def download(self, request: web.Request) -> web.StreamResponse:
        size = int(request.query["size"])
        answer = web.StreamResponse(headers={"Content-Length": str(size)} if "known" in request.query else {})
        await answer.prepare(request)
        while self.sent < size:
            await answer.write(bytes(min(1 << 16, size - self.sent)))
            self.sent += min(1 << 16, size - self.sent)
        return answer

    async def whole(self, request: web.Request) -> web.StreamResponse:
        """`body`, with its length; as far as `cut`."""
        answer = web.StreamResponse(headers={"Content-Length": str(len(self.body))})
        await answer.prepare(request)
        for at in range(0, min(len(self.body), self.cut), 1 << 18):
            await answer.write(self.body[at : at + (1 << 18)])
            self.sent += 1 << 18
        if self.cut < len(self.body):
            assert request.transport
            request.transport.abort()
        return answer

    async def endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"tick\n")
                await asyncio.sleep(0.05)
        finally:
            self.gone.set()

    async def cookies(self, request: web.Request) -> web.Response:
        answer = web.Response(text="ok")
        for cookie in (
            "theirs=1; Domain=apps.localhost; Path=/",
            "visa_app=stolen; Path=/",
            "visa_session=x",
            "=visa_app=posing",
            "_xsrf=2; Path=/",
        ):
            answer.headers.add("Set-Cookie", cookie)
        return answer

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["v1.kernel.websocket.jupyter.org"], max_msg_size=0)
        await socket.prepare(request)
        self.requests.append(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and message.data == "flood":
                while True:
                    await socket.send_bytes(bytes(1 << 16))
                    self.sent += 1 << 16
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        self.gone.set()
        return socket
