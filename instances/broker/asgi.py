"""ASGI's vocabulary, as the broker uses it: plain answers, headers, and who is calling."""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from .endings import Ending
from .tickets import Visitor

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]


class BodyTooLong(Exception):
    pass


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header that came exactly once; None otherwise, because two are one too many to trust."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else None


def visitor(scope: Scope) -> Visitor:
    """The caller's address, as far as the server vouches for it, and the browser's own words."""
    client = scope.get("client")
    try:
        address = str(ipaddress.ip_address(client[0])) if client else None
    except ValueError:
        address = None
    agent = header(scope, b"user-agent") or ""
    return Visitor(address, "".join(c if c.isprintable() else "?" for c in agent))


async def answer(
    send: Send, status: int, text: str, *, kind: str = "text/plain; charset=utf-8", headers: Iterable[Header] = ()
) -> None:
    body = text.encode()
    fixed = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


async def small_body(receive: Receive, limit: int) -> bytes:
    """The whole request body, of at most `limit` bytes."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyTooLong
        body += bytes(message.get("body", b""))
        if len(body) > limit:
            raise BodyTooLong
        if not message.get("more_body"):
            return body


async def forbid(send: Send) -> None:
    """Refuse a WebSocket before it is one: the browser sees 403."""
    await send({"type": "websocket.close"})


async def hang_up(send: Send, ending: Ending) -> None:
    await send({"type": "websocket.close", "code": ending.code, "reason": ending.on_the_wire})
