"""One WebSocket between a browser and a web app of an instance."""

import asyncio

import aiohttp
from aiohttp import WSMsgType

from instances.providers.base import Endpoint

from .activity import is_input
from .asgi import Receive, Scope, Send, forbid, hang_up
from .endings import BROKEN, GONE, Ending
from .forward import upstream_headers, upstream_url
from .presence import Seat
from .race import first

MAX_DOWN = 64 << 20
"""Bytes of one message from an instance: a notebook's output, with its pictures."""
_PASSED_ON = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_OF_THE_HANDSHAKE = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol")


async def bridge(
    scope: Scope, receive: Receive, send: Send, *, seat: Seat, client: aiohttp.ClientSession, endpoint: Endpoint
) -> None:
    """Connect both ends and pass messages, text and binary, until one end closes or the seat ends."""
    outgoing = upstream_headers(scope, endpoint)
    for name in _OF_THE_HANDSHAKE:
        outgoing.popall(name, None)
    seat.used = True
    seat.relays += 1
    try:
        async with client.ws_connect(
            upstream_url(scope, endpoint),
            protocols=scope["subprotocols"],
            headers=outgoing,
            compress=0,
            max_msg_size=MAX_DOWN,
            autoping=True,
        ) as upstream:
            await send({"type": "websocket.accept", "subprotocol": upstream.protocol})
            up = _up(receive, upstream, seat, scope["path"])
            ending = await first(up, _down(send, upstream, seat), until=seat.ended)
            if ending is None:
                ending = seat.ending or GONE
                await upstream.close(code=1001)
            async with asyncio.timeout(2):
                await hang_up(send, ending)
    except (aiohttp.WSServerHandshakeError, aiohttp.ClientConnectionError):
        await forbid(send)
    except (OSError, RuntimeError, TimeoutError):
        return  # the browser is gone, or takes nothing more
    finally:
        seat.relays -= 1


async def _up(receive: Receive, upstream: aiohttp.ClientWebSocketResponse, seat: Seat, path: str) -> Ending:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1005
            await upstream.close(code=code if _may_be_sent(code) else 1001)
            return Ending(1000, "")
        text, data = message.get("text"), message.get("bytes")
        if is_input(path, text.encode() if text is not None else data or b""):
            seat.touch()
        try:
            if text is not None:
                seat.bytes_in += len(text)
                await upstream.send_str(text)
            elif data is not None:
                seat.bytes_in += len(data)
                await upstream.send_bytes(data)
        except ConnectionError:
            return BROKEN


async def _down(send: Send, upstream: aiohttp.ClientWebSocketResponse, seat: Seat) -> Ending:
    while True:
        message = await upstream.receive()
        if message.type is WSMsgType.TEXT:
            seat.bytes_out += len(message.data)
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is WSMsgType.BINARY:
            seat.bytes_out += len(message.data)
            await send({"type": "websocket.send", "bytes": message.data})
        elif message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            code = upstream.close_code or 1001
            return Ending(code if _may_be_sent(code) else 1011, "")
        elif message.type is WSMsgType.ERROR:
            return Ending(1009 if upstream.close_code == 1009 else 1011, "")


def _may_be_sent(code: int) -> bool:
    return code in _PASSED_ON or 3000 <= code < 5000
