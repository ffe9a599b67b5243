"""A desktop in the browser: one WebSocket spliced onto the instance's RFB stream, both ways pushing back."""

import asyncio
import contextlib
import logging

from django.conf import settings
from django.db import Error as DatabaseError

from instances.errors import ProviderError, TicketRefused
from instances.models.connection import App, Mode

from . import tickets
from .asgi import Message, Receive, Scope, Send, forbid, hang_up, header, visitor
from .database import in_database
from .endings import BROKEN, GONE, LEFT, LOST, REFUSED, VIOLATION, Ending
from .handshake import HandshakeFailed, drive, towards_browser
from .presence import Presence, Seat
from .race import first
from .rfb import Filter, Violation
from .thumbnail import Thumbnails
from .upstream import BUFFER, dial, endpoint_of, shake_hands

PROTOCOL = "visa-desktop"
TICKET = "ticket."
HANDSHAKE = 10.0
FAREWELL = 2.0
log = logging.getLogger(__name__)


class Gone(Exception):
    """The browser has left; the code is that of its close frame, or of the server's own going away."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.ending = {1000: LEFT, 1001: LEFT, 1005: LEFT, 1012: LOST}.get(code, Ending(code, "connection lost"))


class Inbox:
    """The browser's messages as a stream of bytes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._rest = b""

    async def some(self) -> bytes:
        """The next bytes, at least one. Raises Gone, and Violation for text."""
        while not self._rest:
            message: Message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise Gone(message.get("code") or 1005)
            if message.get("bytes") is None:
                raise Violation("a text message")
            self._rest = message["bytes"]
        data, self._rest = self._rest, b""
        return data

    async def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += await self.some()
        self._rest = data[count:]
        return data[:count]


async def serve(scope: Scope, receive: Receive, send: Send, *, presence: Presence, thumbnails: Thumbnails) -> None:
    """One connection, from its handshake to the row that records its end."""
    await receive()
    offered = scope["subprotocols"]
    if header(scope, b"origin") != settings.PORTAL_URL or PROTOCOL not in offered:
        await forbid(send)
        return
    shown = [name.removeprefix(TICKET) for name in offered if name.startswith(TICKET)]
    line = Line(receive, send)
    try:
        admission = await in_database(
            tickets.redeem,
            shown[0] if len(shown) == 1 else "",
            app=App.DESKTOP,
            broker=presence.broker,
            visitor=visitor(scope),
        )
    except TicketRefused:
        await line.end(REFUSED)
        return
    except DatabaseError:
        log.exception("a ticket could not be looked up")
        await line.end(BROKEN)
        return
    seat = presence.add(admission)
    log.info("connection %s opened: %s of instance %s", admission.connection, admission.mode, admission.instance)
    ending = LOST
    try:
        ending = await _attend(line, seat, presence)
    finally:
        await asyncio.shield(presence.leave(seat, ending))
        thumbnails.left(admission)


class Line:
    """The WebSocket, accepted when there is something to say."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.inbox = Inbox(receive)
        self._send = send
        self._accepted = False

    async def accept(self) -> None:
        if not self._accepted:
            self._accepted = True
            await self._send({"type": "websocket.accept", "subprotocol": PROTOCOL})

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more. Raises Gone."""
        try:
            await self._send({"type": "websocket.send", "bytes": data})
        except OSError:
            raise Gone(1006) from None

    async def end(self, ending: Ending) -> None:
        """Close with the reason, which a browser sees only on a connection that was accepted."""
        with contextlib.suppress(Exception):  # whoever does not take it is gone, which is what was wanted
            async with asyncio.timeout(FAREWELL):
                await self.accept()
                await hang_up(self._send, ending)


async def _attend(line: Line, seat: Seat, presence: Presence) -> Ending:
    """Relay until one of the three ends: the browser, the instance, or the right to sit here."""
    try:
        ending = await first(_relay(line, seat, presence), until=seat.ended) or seat.ended.result()
    except Gone as gone:
        return gone.ending
    except Exception:
        log.exception("connection %s failed", seat.admission.connection)
        ending = BROKEN
    await line.end(ending)
    return ending


async def _relay(line: Line, seat: Seat, presence: Presence) -> Ending:
    try:
        await presence.confirm(seat)
        endpoint = await endpoint_of(seat.admission)
        reader, writer = await dial(endpoint)
    except (ProviderError, OSError, TimeoutError) as error:
        log.warning("instance %s has no desktop now: %s", seat.admission.instance, error)
        return GONE
    except DatabaseError:
        log.exception("the seat could not be confirmed")
        return BROKEN

    try:
        async with asyncio.timeout(HANDSHAKE):
            init = await shake_hands(reader, writer, endpoint)
        await line.accept()
        async with asyncio.timeout(HANDSHAKE):
            await drive(towards_browser(init), read=line.inbox.exactly, send=line.send)
        return await _splice(line, seat, presence, reader, writer)
    except Violation as violation:
        log.warning("connection %s broke the rules: %s", seat.admission.connection, violation)
        return Ending(VIOLATION, "The viewer sent something that is not allowed.")
    except HandshakeFailed as failure:
        log.warning("no RFB with instance %s: %s", seat.admission.instance, failure)
        return BROKEN
    except TimeoutError:
        return BROKEN
    except (OSError, asyncio.IncompleteReadError):
        return GONE
    finally:
        writer.transport.abort()


async def _splice(
    line: Line, seat: Seat, presence: Presence, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Ending:
    """Both directions, each as slow as its slower side; the first that ends, ends the other."""
    judge = Filter(watching=seat.mode != Mode.CONTROL, part=seat.admission.monitor is not None)

    async def down() -> Ending:
        while data := await reader.read(BUFFER):
            seat.bytes_out += len(data)
            await line.send(data)
        return GONE

    async def up() -> Ending:
        inputs = 0
        while True:
            data = await line.inbox.some()
            seat.bytes_in += len(data)
            if passed := judge.feed(data):
                writer.write(passed)
                await writer.drain()
            if judge.inputs != inputs:
                inputs = judge.inputs
                seat.touch()
            if size := judge.size_request:
                judge.size_request = None
                presence.resize(seat, size)

    seat.filter, seat.inject = judge, writer.write
    try:
        return await first(up(), down()) or BROKEN
    finally:
        seat.filter = seat.inject = None
