"""A real Xvnc and a door to it that keeps the broker's word to the page: sub-protocols, close codes, nothing else."""

import asyncio
import subprocess
import threading
import time
from pathlib import Path

from aiohttp import WSMsgType, web


class Xvnc:
    def __init__(self, folder: Path, display: int) -> None:
        self.path = folder / "rfb"
        command = ["Xvnc", f":{display}", "-rfbport=-1", f"-rfbunixpath={self.path}", "-rfbunixmode=0600"]
        command += ["-SecurityTypes=None", "-geometry", "1024x768", "-nolisten", "tcp"]
        log = (folder / "log").open("w")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self.path.exists():
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Door:
    """`tickets`: those that were shown, in order. `close` ends whoever is inside."""

    def __init__(self, rfb: Path) -> None:
        self.rfb = rfb
        self.tickets: list[str] = []
        self._inside: list[web.WebSocketResponse] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def close(self, code: int, reason: str = "") -> None:
        async def end() -> None:
            for socket in self._inside[:]:
                await socket.close(code=code, message=reason.encode())

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/desktop", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._ready.set()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        self.tickets.append(offered[1].removeprefix("ticket."))
        socket = web.WebSocketResponse(protocols=["visa-desktop"], compress=False)
        await socket.prepare(request)
        reader, writer = await asyncio.open_unix_connection(str(self.rfb))
        self._inside.append(socket)

        async def down() -> None:
            while data := await reader.read(65536):
                await socket.send_bytes(data)

        pump = asyncio.create_task(down())
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    writer.write(message.data)
        finally:
            pump.cancel()
            writer.close()
            self._inside.remove(socket)
        return socket
