"""A desktop in the browser: one WebSocket spliced onto the instance's RFB stream, both ways pushing back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseError

from instances.errors import ProviderError, TicketRefused
from instances.models.connection import App, Mode

from . import tickets
from .asgi import Receive, Scope, Send, forbid, hang_up, header, visitor
from .censor import Censor, Unreadable
from .database import in_database
from .endings import BROKEN, GONE, LOST, REFUSED, VIOLATION, Ending
from .frames import BadFrame
from .handshake import HandshakeFailed, drive, towards_browser
from .presence import Presence, Seat
from .race import first
from .rfb import Filter, Violation
from .splice import Splice
from .thumbnail import Thumbnails
from .upstream import Upstream, dial, endpoint_of, shake_hands
from .wire import EXTENSION, Gone, Wire

PROTOCOL = "visa-desktop"
TICKET = "ticket."
HANDSHAKE = 10.0
FAREWELL = 2.0
log = logging.getLogger(__name__)


async def serve(scope: Scope, receive: Receive, send: Send, *, presence: Presence, thumbnails: Thumbnails) -> None:
    """One connection, from its handshake to the row that records its end."""
    await receive()
    offered = scope["subprotocols"]
    if header(scope, b"origin") != settings.PORTAL_URL or PROTOCOL not in offered:
        await forbid(send)
        return
    shown = [name.removeprefix(TICKET) for name in offered if name.startswith(TICKET)]
    line = Line(scope, send)
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

    def __init__(self, scope: Scope, send: Send) -> None:
        self._take_over: Callable[[], Wire] = scope["extensions"][EXTENSION]["take_over"]
        self._send = send
        self._accepted = False

    async def open(self) -> Wire:
        """Raises BadFrame and Gone."""
        await self._accept()
        return self._take_over()

    async def _accept(self) -> None:
        if not self._accepted:
            self._accepted = True
            await self._send({"type": "websocket.accept", "subprotocol": PROTOCOL})

    async def end(self, ending: Ending) -> None:
        """Close with the reason, which a browser sees only on a connection that was accepted."""
        with contextlib.suppress(Exception):  # whoever does not take it is gone, which is what was wanted
            async with asyncio.timeout(FAREWELL):
                await self._accept()
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
        upstream = await dial(endpoint)
    except (ProviderError, OSError, TimeoutError) as error:
        log.warning("instance %s has no desktop now: %s", seat.admission.instance, error)
        return GONE
    except DatabaseError:
        log.exception("the seat could not be confirmed")
        return BROKEN

    try:
        async with asyncio.timeout(HANDSHAKE):
            init = await shake_hands(upstream, endpoint)
        wire = await line.open()
        async with asyncio.timeout(HANDSHAKE):
            await drive(towards_browser(init), read=wire.inbox.exactly, send=wire.send)
        return await _splice(wire, upstream, seat, presence)
    except (Violation, BadFrame) as violation:
        log.warning("connection %s broke the rules: %s", seat.admission.connection, violation)
        return Ending(VIOLATION, "The viewer sent something that is not allowed.")
    except (HandshakeFailed, Unreadable) as failure:
        log.warning("no RFB with instance %s: %s", seat.admission.instance, failure)
        return BROKEN
    except TimeoutError:
        return BROKEN
    except (OSError, EOFError):
        return GONE
    finally:
        upstream.abort()


async def _splice(wire: Wire, upstream: Upstream, seat: Seat, presence: Presence) -> Ending:
    """Both directions, each as slow as its slower side; the first that ends, ends the other."""
    allowed = seat.admission.clipboard
    judge = Filter(
        watching=seat.mode != Mode.CONTROL,
        part=seat.admission.monitor is not None,
        pastes=allowed.inwards,
        censored=not allowed.outwards,
    )
    judge.clipboards = seat.clipboards
    censor = None if allowed.outwards else Censor()
    splice = Splice(seat, judge, browser=wire, instance=upstream, resize=partial(presence.resize, seat), censor=censor)
    seat.filter, seat.inject = judge, splice.inject
    try:
        upstream.join(splice)
        wire.join(splice)
        return await splice.over
    finally:
        splice.close()
        seat.filter = seat.inject = None
