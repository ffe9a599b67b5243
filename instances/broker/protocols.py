"""uvicorn's protocols with the bounds that they leave out, and with a way around its messages for desktops."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from .cork import SINK, Corked
from .endings import GOING_AWAY
from .frames import PING, BadFrame, pong
from .wire import EXTENSION, LOST, Wire

MAX_HEAD = 1 << 16
MAX_FRAGMENTS = 4096
FAREWELL = 3.0


class BoundedHttp(HttpToolsProtocol):
    """Bounds the bytes of a request's head, which the parser would collect for as long as they come."""

    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, Corked(transport))

    def handle_websocket_upgrade(self) -> None:
        self.transport = cast(Corked, self.transport).transport
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self.scope["extensions"] = {SINK: {"transport": self.transport}}

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = 0


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Bounds a message's fragments, and lets nobody linger who takes nothing any more.

    An application that finds `EXTENSION` in its scope may call it once, right after accepting: from then on everything
    but the closing handshake and pings goes to and comes from the Wire that it returns.
    """

    _wire: Wire | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = {"take_over": self.take_over}

    def take_over(self) -> Wire:
        """Raises BadFrame when the client spoke before it was answered."""
        if not self.queue.empty() or self.conn.reader.buffer:
            raise BadFrame("something that came before the answer")
        self._wire = Wire(self.transport)
        return self._wire

    def data_received(self, data: bytes) -> None:
        if self._wire is None:
            super().data_received(data)
            return
        try:
            closing = self._wire.feed(data)
        except BadFrame as error:
            self._wire.fail(error)
            return
        for control in self._wire.controls():
            if control.opcode == PING:
                self.transport.write(pong(control.payload))
            else:
                self.handle_pong(Frame(Opcode.PONG, control.payload))
        if closing:
            super().data_received(closing)

    def handle_close(self, event: Frame) -> None:
        if self._wire and self.conn.close_rcvd:
            self._wire.leave(self.conn.close_rcvd.code)
        super().handle_close(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._wire:
            self._wire.leave(LOST)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._wire:
            self._wire.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._wire:
            self._wire.resume()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    async def send(self, message: Any) -> None:
        if self._wire and message["type"] == "websocket.close":
            self._wire.close()
        await super().send(message)
        if message["type"] == "websocket.close":
            self.loop.call_later(FAREWELL, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """A dead peer takes no close frame: without the abort its seat would stay taken until TCP gives up."""
        super().keepalive_timeout()
        self.transport.abort()

    def shutdown(self) -> None:
        if self._wire:
            self._wire.leave(GOING_AWAY)
        super().shutdown()
        self.loop.call_later(FAREWELL, self.transport.abort)
