"""The live seats of this process, and the three ways in which they are ended: told, noticed, or shut down."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError

from auth import bus
from instances.models.connection import App, Mode
from instances.states import OPEN

from . import arrangements, ledger, tickets
from .database import in_database
from .endings import CHANGED, GONE, LOST, REVOKED, Ending
from .rfb import Filter, SizeRequest
from .tickets import Admission

BEAT = 5.0
SWEEP = 10.0
LOOK = 60.0
FAREWELL = 3.0
"""How long a stopping broker waits for the rows that it still has to write."""
log = logging.getLogger(__name__)


class Seat:
    """One seat while it is live here. `ended` is done when it may not be held any longer."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.bytes_in = 0
        self.bytes_out = 0
        self.input_at: datetime | None = None
        self.relays = 0
        """Requests and sockets under way; a seat of a web app may have many or none."""
        self.used = True
        self.mode = admission.mode
        self.inject: Callable[[bytes], None] | None = None
        """Says something to the desktop between two messages of the browser; None before and after the relay."""
        self.filter: Filter | None = None
        """What judges the browser's messages, while they are relayed."""
        self.clipboards: list[int] = []
        self.held: SizeRequest | None = None
        """A size that has to wait until no window shows a single screen."""

    def set_mode(self, mode: str) -> None:
        """What its person may do from now on; the connection goes on. What they held down they let go of."""
        self.mode = mode
        if self.filter:
            self.filter.watching = mode != Mode.CONTROL
            if self.filter.watching and self.inject and (released := self.filter.let_go()):
                self.inject(released)

    def end(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)

    @property
    def ending(self) -> Ending | None:
        return self.ended.result() if self.ended.done() else None

    def touch(self) -> None:
        """Its person did something just now."""
        self.used = True
        self.input_at = datetime.now(UTC)

    def take_bytes(self) -> tuple[int, int]:
        """What moved since the last call, from and to the browser."""
        moved = self.bytes_in, self.bytes_out
        self.bytes_in = self.bytes_out = 0
        return moved

    def take_clipboards(self) -> list[int]:
        """The lengths of those that went in since the last call."""
        lengths = list(self.clipboards)
        self.clipboards.clear()
        return lengths

    def matches(self, message: dict[str, Any]) -> bool:
        seat = self.admission
        return (
            message.get("instance") == str(seat.instance)
            or message.get("connection") == str(seat.connection)
            or message.get("user") == seat.user
            or bool(seat.session and message.get("session") == seat.session)
        )


class Presence:
    """Knows every live seat here. `broker` names this process in the rows of its seats."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self.seats: dict[UUID, Seat] = {}
        self.hearing = False
        self.on_end: list[Callable[[Seat], None]] = []
        self._following: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens, beats and sweeps inside the block; ends all seats when it is left."""
        jobs = [self._listen(), _every(BEAT, self.beat), _every(SWEEP, self._sweep), _every(LOOK, self._look)]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._following:
                await asyncio.wait(self._following, timeout=FAREWELL)
            with contextlib.suppress(DatabaseError):
                await self.beat()
            for seat in list(self.seats.values()):
                self.end(seat, LOST)

    def add(self, admission: Admission) -> Seat:
        seat = self.seats[admission.connection] = Seat(admission)
        return seat

    def end(self, seat: Seat, ending: Ending) -> None:
        """Stop what it does at once. A desktop's relay then writes down the end; for an app it is done here."""
        if self.seats.pop(seat.admission.connection, None) is None:
            return
        seat.end(ending)
        for told in self.on_end:
            told(seat)
        if seat.admission.app != App.DESKTOP and ending != LOST:
            self._follow(partial(self._write_end, seat, ending))

    async def leave(self, seat: Seat, ending: Ending) -> None:
        """A desktop's seat is over."""
        self.end(seat, ending)
        await self._write_end(seat, ending)

    async def confirm(self, seat: Seat) -> None:
        """Look at the rows once more, for what was told between the ticket and `add`."""
        standing = await in_database(tickets.standing, seat.admission)
        if isinstance(standing, Ending):
            self.end(seat, standing)
        elif standing != seat.mode:
            seat.set_mode(standing)

    def resize(self, seat: Seat, size: SizeRequest) -> None:
        """Somebody in control of a desktop wants another size of it, or of the screen that their window shows."""
        seat.held = size
        self._follow(partial(self._resize, seat, size))

    async def _resize(self, seat: Seat, size: SizeRequest) -> None:
        if await in_database(arrangements.wish, seat.admission.connection, size) and seat.held is size:
            seat.held = None
            if seat.inject:
                seat.inject(size.raw)

    async def _rearrange(self, seat: Seat) -> None:
        """Somebody's windows are others now, or of other sizes."""
        if seat.admission.monitor is None:
            if seat.held:
                await self._resize(seat, seat.held)
            return
        layout = await in_database(arrangements.layout_of, seat.admission.connection)
        if seat.filter:
            seat.filter.area = layout.screens.get(seat.admission.monitor)
        if seat.inject and layout.leader == seat.admission.connection:
            seat.inject(layout.message)

    async def beat(self) -> None:
        """Renew the leases of what is live here, and end what somebody else has ended."""
        beats = []
        for seat in self.seats.values():
            if seat.admission.app == App.DESKTOP or seat.used or seat.relays:
                beats.append(ledger.Beat(seat.admission.connection, *seat.take_bytes(), seat.input_at))
                seat.used = False
        pasted = [(seat.admission, lengths) for seat in self.seats.values() if (lengths := seat.take_clipboards())]
        try:
            ended = await in_database(ledger.beat, self.broker, beats)
            if pasted:
                await in_database(ledger.note_clipboards, pasted)
        except DatabaseError:
            for one in beats:
                if untold := self.seats.get(one.seat):
                    untold.bytes_in += one.bytes_in
                    untold.bytes_out += one.bytes_out
            for admission, lengths in pasted:
                if untold := self.seats.get(admission.connection):
                    untold.clipboards[:0] = lengths
            raise
        self._end_all(ended)

    def hear(self, message: dict[str, Any]) -> None:
        """One message of the bus. What is live ends before this returns; rows follow."""
        topic = message.get("topic")
        if topic == "resync":
            self.hearing = True
            for seat in self.seats.values():
                self._follow(partial(self.confirm, seat))
        elif topic == "close":
            ending = Ending(REVOKED, str(message.get("reason") or "Your access has ended."))
            self._end_matching(message, ending)
            which = {_COLUMNS[key]: message[key] for key in _COLUMNS if message.get(key)}
            if which:
                self._follow(partial(in_database, ledger.end_apps, ending, **which))
        elif topic == "rights":
            people = set(message.get("users", ()))
            for seat in self.seats.values():
                if seat.admission.user in people:
                    self._follow(partial(self.confirm, seat))
        elif topic == "rejoin":
            self._end_matching({"instance": message.get("instance")}, CHANGED)
        elif topic == "monitors":
            for seat in self.seats.values():
                if message.get("instance") == str(seat.admission.instance):
                    self._follow(partial(self._rearrange, seat))
        elif topic == "instance" and message.get("state") not in OPEN:
            self._end_matching({"instance": message.get("instance")}, GONE)
            self._follow(partial(in_database, ledger.end_apps, GONE, instance_id=message.get("instance")))

    async def _write_end(self, seat: Seat, ending: Ending) -> None:
        bytes_in, bytes_out = seat.take_bytes()
        which = seat.admission.connection
        if lengths := seat.take_clipboards():
            await in_database(ledger.note_clipboards, [(seat.admission, lengths)])
        if await in_database(tickets.close, which, ending, bytes_in=bytes_in, bytes_out=bytes_out):
            log.info("connection %s closed: %s", which, ending.reason)

    def _follow(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do `work` beside everything else, again until it is done: it is what the rows still have to say."""

        async def persist() -> None:
            for pause in (0.2, 1, 5, 20, 60):
                try:
                    await work()
                    return
                except DatabaseError as error:
                    log.warning("the database did not answer, again in %s s: %s", pause, error)
                    await asyncio.sleep(pause)
                except Exception:
                    log.exception("a seat's end was not written down")
                    return

        task = asyncio.create_task(persist())
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    def _end_matching(self, message: dict[str, Any], ending: Ending) -> None:
        for seat in [seat for seat in self.seats.values() if seat.matches(message)]:
            self.end(seat, ending)

    def _end_all(self, endings: dict[UUID, Ending]) -> None:
        for connection, ending in endings.items():
            if seat := self.seats.get(connection):
                self.end(seat, ending)

    async def _listen(self) -> None:
        async for message in bus.listen():
            try:
                self.hear(message)
            except Exception:
                log.exception("a message about %s was not acted upon", message.get("topic"))

    async def _sweep(self) -> None:
        if ended := await in_database(ledger.sweep):
            log.info("ended %d seats that nobody held", ended)

    async def _look(self) -> None:
        self._end_all(await in_database(ledger.standing, list(self.seats)))


_COLUMNS = {"instance": "instance_id", "connection": "pk", "user": "user_id", "session": "session"}


async def _every(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        began = monotonic()
        try:
            await job()
        except Exception:
            log.exception("%s failed and is tried again", job.__name__)
        await asyncio.sleep(max(0.1, seconds - (monotonic() - began)))
