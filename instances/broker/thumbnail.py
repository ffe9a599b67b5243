"""Small pictures of desktops, taken over a short RFB connection of the broker's own. Nothing depends on them."""

import asyncio
import contextlib
import io
import logging
import struct
from collections.abc import AsyncIterator
from time import monotonic
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models.functions import Now
from PIL import Image

from auth import bus
from instances.errors import ProviderError
from instances.models import Instance
from instances.models.connection import App
from instances.providers.base import Endpoint
from instances.states import State

from .database import in_database
from .handshake import HandshakeFailed, ServerInit
from .inbox import Inbox
from .presence import Presence
from .tickets import Admission
from .upstream import Upstream, dial, endpoint_of, shake_hands

WIDTH = 480
QUALITY = 75
EVERY = 60.0
TICK = 5.0
PATIENCE = 10.0
DRAWN_BY = 3.0
"""Seconds after which a desktop that showed nothing, because it had just started, is looked at once more."""
MAX_PIXELS = 7680 * 2160
STRIP = 1 << 20
"""Pixels asked for at once, so that the way there never holds a whole picture."""
log = logging.getLogger(__name__)


class Thumbnails:
    """Takes one of each desktop that somebody is in, every minute and when the last one leaves."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._taken: dict[UUID, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Semaphore(1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            tasks = [ticking, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def left(self, admission: Admission) -> None:
        """Somebody left that desktop; the last one leaves a picture behind."""
        if admission.instance not in self._watched():
            self._begin(admission, TICK)

    def _watched(self) -> dict[UUID, Admission]:
        seats = [seat.admission for seat in self._presence.seats.values()]
        return {seat.instance: seat for seat in seats if seat.app == App.DESKTOP}

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for admission in self._watched().values():
                self._begin(admission, EVERY)
            self._taken = {who: when for who, when in self._taken.items() if when > monotonic() - EVERY}

    def _begin(self, admission: Admission, least: float) -> None:
        """Take one, unless the last is younger than `least` seconds."""
        if self._taken.get(admission.instance, -EVERY) <= monotonic() - least:
            self._taken[admission.instance] = monotonic()
            task = asyncio.create_task(self._take(admission))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, admission: Admission) -> None:
        try:
            async with self._one_at_a_time:
                picture = await capture(await endpoint_of(admission))
            if await asyncio.to_thread(_blank, picture):
                await asyncio.sleep(DRAWN_BY)
                picture = await capture(await endpoint_of(admission))
            await in_database(_store, admission.instance, picture)
        except (ProviderError, HandshakeFailed, OSError, EOFError, TimeoutError, ValueError, DatabaseError) as error:
            log.info("no thumbnail of instance %s: %s", admission.instance, error or type(error).__name__)


async def capture(endpoint: Endpoint) -> bytes:
    """A JPEG of what the desktop shows now, WIDTH pixels wide.

    Raises OSError, EOFError, TimeoutError, HandshakeFailed, or ValueError for what no desktop should say.
    """
    async with asyncio.timeout(PATIENCE):
        upstream = await dial(endpoint)
        try:
            image = await _picture(upstream, await shake_hands(upstream, endpoint))
        finally:
            upstream.abort()
        return await asyncio.to_thread(_jpeg, image)


def _blank(picture: bytes) -> bool:
    """All but the pointer is black."""
    with Image.open(io.BytesIO(picture)) as image:
        grey = image.convert("L").histogram()
    return sum(grey[:16]) > 0.99 * sum(grey)


async def _picture(upstream: Upstream, init: ServerInit) -> Image.Image:
    width, height = init.width, init.height
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"a desktop of {width}x{height}")
    blue_green_red_unused = struct.pack(">Bxxx BBBB HHH BBB xxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
    only_raw = struct.pack(">BxHi", 2, 1, 0)
    await upstream.send(blue_green_red_unused + only_raw)
    image = Image.new("RGB", (width, height))
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        wanted = min(rows, height - top) * width
        await upstream.send(struct.pack(">BBHHHH", 3, 0, 0, top, width, min(rows, height - top)))
        while wanted > 0:
            wanted -= await _server_message(upstream.inbox, image)
    return image


async def _server_message(inbox: Inbox, image: Image.Image) -> int:
    """Read one message and draw it. Returns the number of pixels that came."""
    (kind,) = await inbox.exactly(1)
    if kind == 0:
        (count,) = struct.unpack(">xH", await inbox.exactly(3))
        return sum([await _rectangle(inbox, image) for _ in range(count)])
    if kind == 3:
        (length,) = struct.unpack(">xxxI", await inbox.exactly(7))
        while length > 0:
            length -= len(await inbox.exactly(min(length, 1 << 16)))
    elif kind != 2:
        raise ValueError(f"server message {kind}")
    return 0


async def _rectangle(inbox: Inbox, image: Image.Image) -> int:
    x, y, width, height, encoding = struct.unpack(">HHHHi", await inbox.exactly(12))
    if encoding != 0 or x + width > image.width or y + height > image.height:
        raise ValueError(f"a rectangle of {width}x{height} at {x},{y} in encoding {encoding}")
    if width and height:
        pixels = await inbox.exactly(width * height * 4)
        image.paste(Image.frombuffer("RGB", (width, height), pixels, "raw", "BGRX", 0, 1), (x, y))
    return int(width * height)


def _jpeg(image: Image.Image) -> bytes:
    small = image.resize((WIDTH, max(1, round(WIDTH * image.height / image.width))), Image.Resampling.BOX)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()


def _store(instance: UUID, picture: bytes) -> None:
    with transaction.atomic():
        shown = Instance.objects.filter(pk=instance, state__in=(State.READY, State.RESTARTING))
        if shown.update(thumbnail=picture, thumbnail_at=Now()):
            owner, state = Instance.objects.values_list("owner_id", "state").get(pk=instance)
            bus.announce("instance", instance=str(instance), owner=owner, state=state)
