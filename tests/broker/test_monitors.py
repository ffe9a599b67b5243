"""A window per monitor: what windows ask for, and the desktop that real servers then have."""

import asyncio
import struct
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.broker.monitors import LARGEST, SMALLEST, Window, layout
from instances.broker.rfb import Area, Filter, SizeRequest
from instances.models import Connection, Instance
from instances.models.connection import Mode

from . import world

SEAT = uuid.UUID(int=1)
UNDERSTANDS = struct.pack(">BxHii", 2, 2, 0, -308)
SIZES = st.integers(0, 65535)


def test_screens_stand_side_by_side_and_the_leftmost_window_speaks() -> None:
    left, right = uuid.UUID(int=1), uuid.UUID(int=2)
    made = layout([Window(right, 2, 1024, 768), Window(left, 1, 1920, 1080)])
    assert made.screens == {1: Area(0, 0, 1920, 1080), 2: Area(1920, 0, 1024, 768)}
    assert made.leader == left


def test_of_two_windows_for_one_screen_the_later_counts_and_a_second_screen_may_be_alone() -> None:
    made = layout([Window(SEAT, 2, 800, 600), Window(uuid.UUID(int=9), 2, 1024, 768)])
    assert (made.screens, made.leader) == ({2: Area(0, 0, 1024, 768)}, uuid.UUID(int=9))
    assert layout([]).leader is None


@given(st.lists(st.builds(Window, st.uuids(), st.integers(1, 4), SIZES, SIZES), min_size=1))
def test_whatever_windows_say_the_message_is_one_that_servers_take(windows: list[Window]) -> None:
    made = layout(windows)
    judge = Filter(watching=False)
    judge.feed(struct.pack(">BxHi", 2, 1, -308) + made.message)
    assert judge.at_boundary
    size = judge.size_request
    assert size and size.screens == tuple(made.screens.values())
    assert all(SMALLEST <= side <= LARGEST for area in size.screens for side in (area.width, area.height))
    for one, other in zip(size.screens, size.screens[1:], strict=False):
        assert one.x + one.width == other.x


def asked_for(width: int, height: int) -> bytes:
    return struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0)


async def wishes(seat: world.Desktop, width: int, height: int) -> None:
    await seat.socket.send(UNDERSTANDS + asked_for(width, height))


async def becomes(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


async def test_two_windows_make_two_screens_and_one_again_when_a_window_closes(
    broker: world.Broker, desk: Instance, desktop: world.Xvnc
) -> None:
    async with broker.sit(desk, monitor=1) as first:
        await wishes(first, 1000, 700)
        await becomes(lambda: desktop.screens() == ["1000x700+0+0"], "one screen")
        async with broker.sit(desk, monitor=2) as second:
            await wishes(second, 640, 480)
            await becomes(lambda: sorted(desktop.screens()) == ["1000x700+0+0", "640x480+1000+0"], "two screens")
            await wishes(second, 800, 500)
            await becomes(lambda: sorted(desktop.screens()) == ["1000x700+0+0", "800x500+1000+0"], "another size")
        await becomes(lambda: desktop.screens() == ["1000x700+0+0"], "one again")


async def test_a_wide_window_waits_with_its_size_until_no_window_shows_a_single_screen(
    broker: world.Broker, desk: Instance, desktop: world.Xvnc
) -> None:
    async with broker.sit(desk) as wide:
        await wide.socket.send(UNDERSTANDS)  # or the server would end it when the size changes
        async with broker.sit(desk, monitor=1) as first:
            await wishes(first, 1000, 700)
            await becomes(lambda: desktop.screens() == ["1000x700+0+0"], "the window's size")
            await wishes(wide, 900, 600)
            await asyncio.sleep(0.5)
            assert desktop.screens() == ["1000x700+0+0"]
        await becomes(lambda: desktop.screens() == ["900x600+0+0"], "what the wide one waited for")


async def test_nobody_who_watches_changes_the_screens(
    broker: world.Broker, desk: Instance, desktop: world.Xvnc
) -> None:
    before = desktop.screens()
    async with broker.sit(desk, mode=Mode.WATCH) as wide, broker.sit(desk, mode=Mode.WATCH, monitor=2) as part:
        await wishes(wide, 900, 600)
        await wishes(part, 900, 600)
        await part.see()
        await asyncio.sleep(0.3)
    assert desktop.screens() == before


async def test_the_pointer_of_the_second_window_stays_on_the_second_screen(
    broker: world.Broker, desk: Instance, desktop: world.Xvnc
) -> None:
    async with broker.sit(desk, monitor=1) as first, broker.sit(desk, monitor=2) as second:
        await wishes(first, 700, 600)
        await wishes(second, 700, 600)
        await becomes(lambda: sorted(desktop.screens()) == ["700x600+0+0", "700x600+700+0"], "two screens")
        await second.socket.send(struct.pack(">BBHH", 5, 0, 750, 60))
        await becomes(lambda: desktop.pointer() == (750, 60), "the pointer where it is put")
        await second.socket.send(struct.pack(">BBHH", 5, 0, 10, 61))
        await becomes(lambda: desktop.pointer() == (700, 61), "the pointer at the edge")


@pytest.mark.django_db(transaction=True)
async def test_a_window_s_size_is_written_down_for_other_brokers(
    broker: world.Broker, desk: Instance, desktop: world.Xvnc
) -> None:
    async with broker.sit(desk, monitor=1) as first:
        await wishes(first, 1000, 700)
        await becomes(lambda: Connection.objects.filter(monitor=1, width=1000, height=700).exists(), "a row")


def test_a_size_knows_its_message_and_is_compared_without_it() -> None:
    assert SizeRequest(1, 2, (), b"x") == SizeRequest(1, 2, ())
