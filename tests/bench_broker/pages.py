"""Browsers that ask a web app: connections that are kept, each with one request under way."""

import asyncio
import socket
import time
from typing import cast

import uvloop

CONNECTIONS = 16


class Asker(asyncio.Protocol):
    """Asks again as soon as it was answered, until the time is over."""

    def __init__(self, ask: bytes, until: float) -> None:
        self._ask = ask
        self._until = until
        self._got = b""
        self.answers = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes
        self._transport.write(self._ask)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found or len(body) < SMALL:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self._got = b""
        self.answers += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._ask)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


SMALL = 200


def _request(size: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET /{size} HTTP/1.1\r\n{lines}\r\n".encode()


def requests_per_second(port: int, headers: dict[str, str], seconds: float) -> float:
    """Of `SMALL` bytes each, over CONNECTIONS connections."""

    async def ask() -> float:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        askers = []
        for _ in range(CONNECTIONS):
            make = lambda: Asker(_request(SMALL, headers), began + seconds)  # noqa: E731
            askers.append((await loop.create_connection(make, "127.0.0.1", port))[1])
        await asyncio.gather(*(asker.over for asker in askers))
        return sum(asker.answers for asker in askers) / (time.perf_counter() - began)

    return uvloop.run(ask())


def bulk(port: int, headers: dict[str, str], size: int) -> float:
    """Seconds until a body of `size` bytes has come."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        asked = time.perf_counter()
        connection.sendall(_request(size, headers))
        buffer, got = bytearray(1 << 18), 0
        while got < size:
            more = connection.recv_into(buffer)
            assert more, "the proxy hung up"
            got += more
        return time.perf_counter() - asked
