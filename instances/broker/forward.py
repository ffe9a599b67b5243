"""One HTTP exchange between a browser and an instance, streamed both ways and never kept."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from django.conf import settings
from multidict import CIMultiDict
from yarl import URL

from instances.providers.base import Endpoint

from . import headers
from .asgi import Receive, Scope, Send, header
from .presence import Seat
from .race import first

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


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
    passed = headers.upwards(
        scope["headers"],
        host=header(scope, b"host") or "",
        scheme=settings.BROKER_URL.partition(":")[0],
        secret=endpoint.secret,
        reserved=reserved(),
    )
    return CIMultiDict((name.decode("latin-1"), _text(value)) for name, value in passed)


async def forward(
    scope: Scope, receive: Receive, send: Send, *, seat: Seat, client: aiohttp.ClientSession, endpoint: Endpoint
) -> bool:
    """Pass the request on and the response back. False: nothing was answered because the seat has ended.

    Raises aiohttp.ClientError, OSError or TimeoutError while there is still an answer to be given.
    """
    upload = Upload(scope, receive, seat)
    started = False

    async def exchange() -> bool:
        nonlocal started
        outgoing = upstream_headers(scope, endpoint)
        if upload.has_any and upload.length:
            outgoing["Content-Length"] = upload.length
        async with client.request(
            scope["method"],
            upstream_url(scope, endpoint),
            headers=outgoing,
            data=upload.chunks() if upload.has_any else None,
            allow_redirects=False,
        ) as response:
            started = True
            passed = headers.downwards(response.raw_headers, reserved=reserved())
            await send({"type": "http.response.start", "status": response.status, "headers": passed})
            async for chunk in response.content.iter_any():
                seat.bytes_out += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        return True

    seat.used = True
    if scope["method"] not in SAFE:
        seat.touch()
    seat.relays += 1
    try:
        finished = await first(exchange(), upload.browser_leaves(), until=seat.ended)
    except (aiohttp.ClientError, OSError, TimeoutError):
        if started:
            return True  # the server cuts an answer that is not complete
        raise
    finally:
        seat.relays -= 1
    return finished is not None or started


def _text(value: bytes) -> str:
    """As aiohttp writes headers: in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
