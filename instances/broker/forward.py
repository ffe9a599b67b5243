"""One HTTP exchange between a browser and an instance, streamed both ways and never kept."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import aiohttp
from django.conf import settings
from multidict import CIMultiDict
from yarl import URL

from instances.providers.base import Endpoint

from . import headers
from .asgi import Receive, Scope, Send, header
from .cork import SINK, Corked
from .headers import Header
from .lines import Lines
from .pour import Poured
from .presence import Seat
from .race import Cut

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SHORT = 0.5
"""Seconds: in an exchange that is over sooner nobody needs to look whether the browser has left."""


class Upload:
    """The request's body, as it arrives."""

    def __init__(self, scope: Scope, receive: Receive, seat: Seat) -> None:
        self._receive = receive
        self._seat = seat
        self.length = header(scope, b"content-length")
        self.has_any = self.length not in (None, "0") or header(scope, b"transfer-encoding") is not None
        self.over = asyncio.Event()
        if not self.has_any:
            self.over.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self.over.set()
                raise ConnectionAbortedError("the browser left while it was sending")
            body = message.get("body", b"")
            self._seat.bytes_in += len(body)
            if body:
                yield body
            if not message.get("more_body"):
                self.over.set()
                return

    async def browser_leaves(self) -> bool:
        await self.over.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return False


def reserved() -> tuple[str, ...]:
    """The portal's own cookie names."""
    return (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, "messages")


def upstream_url(scope: Scope, endpoint: Endpoint) -> URL:
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    host = endpoint.host or "instance"
    scheme = "https" if endpoint.certificate else "http"
    return URL.build(scheme=scheme, host=host, port=endpoint.port or None, path=path, query_string=query, encoded=True)


def upstream_headers(scope: Scope, endpoint: Endpoint) -> CIMultiDict[str]:
    passed = _passed(scope, endpoint)
    return CIMultiDict((name.decode("latin-1"), _text(value)) for name, value in passed)


def _passed(scope: Scope, endpoint: Endpoint) -> list[Header]:
    return headers.upwards(
        scope["headers"],
        host=header(scope, b"host") or "",
        scheme=settings.BROKER_URL.partition(":")[0],
        secret=endpoint.secret,
        reserved=reserved(),
    )


async def forward(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    seat: Seat,
    lines: Lines,
    client: aiohttp.ClientSession,
    endpoint: Endpoint,
) -> bool:
    """Pass the request on and the response back. False: nothing was answered because the seat has ended.

    Raises aiohttp.ClientError, OSError or TimeoutError while there is still an answer to be given.
    """
    upload = Upload(scope, receive, seat)
    started = left = False
    watching: asyncio.Task[None] | None = None

    async def start(status: int, raw: Iterable[Header]) -> None:
        nonlocal started
        started = True
        passed = headers.downwards(raw, reserved=reserved())
        await send({"type": "http.response.start", "status": status, "headers": passed})

    sink: Corked = scope["extensions"][SINK]["transport"]
    poured = 0

    def count(moved: int) -> None:
        nonlocal poured
        poured += moved
        seat.bytes_out += moved

    async def plain() -> None:
        line = await lines.ask(scope["method"], _target(scope), _passed(scope, endpoint))
        try:
            await start(line.status, line.headers)
            while chunk := await line.some():
                seat.bytes_out += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": not line.complete})
                if line.complete:
                    return
                if await line.pour_into(sink, count):
                    await send({"type": "http.response.body", "body": Poured(poured)})
                    return
            await send({"type": "http.response.body", "body": b""})
        finally:
            lines.give_back(line)

    async def with_upload() -> None:
        outgoing = upstream_headers(scope, endpoint)
        if upload.length:
            outgoing["Content-Length"] = upload.length
        async with client.request(
            scope["method"],
            upstream_url(scope, endpoint),
            headers=outgoing,
            data=upload.chunks(),
            allow_redirects=False,
        ) as response:
            await start(response.status, response.raw_headers)
            async for chunk in response.content.iter_any():
                seat.bytes_out += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def watch() -> None:
        nonlocal left
        await upload.browser_leaves()
        left = True
        cut.now()

    def begin_watching() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    seat.used = True
    if scope["method"] not in SAFE:
        seat.touch()
    seat.relays += 1
    cut = Cut()
    seat.ended.add_done_callback(cut.now)
    later = asyncio.get_running_loop().call_later(SHORT, begin_watching)
    try:
        with cut:
            await (with_upload() if upload.has_any else plain())
            return True
        return left or started
    except (aiohttp.ClientError, OSError, TimeoutError):
        if started:
            return True  # the server cuts an answer that is not complete
        raise
    finally:
        seat.ended.remove_done_callback(cut.now)
        later.cancel()
        if watching:
            watching.cancel()
        seat.relays -= 1


def _target(scope: Scope) -> bytes:
    """What is asked for, as it was asked."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path


def _text(value: bytes) -> str:
    """As aiohttp writes headers: in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
