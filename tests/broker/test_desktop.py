"""A desktop through the broker: who gets in, what passes, and how it ends."""

import asyncio
import hashlib
import struct
import time
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus

from auth import bus
from auth.models import AuditEvent
from instances.broker.database import in_database
from instances.models import Connection, Instance
from instances.states import State
from tests.facility import Facility
from tests.facility import instance as another
from tests.portal import until

from .world import Broker, Flood, Xvnc

TWO = ["800x600+0+0", "800x600+800+0"]
POINTER = struct.pack(">BBHH", 5, 0, 123, 234)


async def refusal(broker: Broker, ticket: str) -> int:
    async with broker.knock(ticket) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd
    return closed.value.rcvd.code


async def ending(socket: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(socket.recv(), 10)
    assert closed.value.rcvd, "closed without a close frame"
    return closed.value.rcvd.code, closed.value.rcvd.reason


def announce(topic: str, **fields: Any) -> None:
    with transaction.atomic():
        bus.announce(topic, **fields)


async def closed_row(connection: Any) -> Connection:
    for _ in range(100):
        row: Connection = await in_database(Connection.objects.get, pk=connection)
        if row.closed:
            return row
        await asyncio.sleep(0.05)
    raise AssertionError("the connection's row stays open")


async def test_a_ticket_opens_the_desktop_once(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    ticket = await broker.ticket(desk)
    async with broker.knock(ticket) as socket:
        assert socket.subprotocol == "visa-desktop"
        assert await socket.recv() == b"RFB 003.008\n"
        assert await refusal(broker, ticket) == 4001


async def test_pixels_come_and_a_row_tells_who_sat_there(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        assert (seat.width, seat.height) == (800, 600)
        assert len(await seat.see()) == 32 * 32 * 4
        row = await in_database(Connection.objects.get)
        assert (row.user_id, row.mode, row.address, row.closed) == (desk.owner_id, "control", "127.0.0.1", None)
        assert "websockets" in row.agent
    row = await closed_row(row.pk)
    assert row.reason == "left"
    assert row.bytes_out > 32 * 32 * 4
    assert row.bytes_in > 10
    actions = await in_database(lambda: list(AuditEvent.objects.values_list("action", flat=True)))
    assert actions == ["connection.open", "connection.close"]


async def test_an_unknown_ticket_is_refused(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    assert await refusal(broker, "nonsense") == 4001
    assert await refusal(broker, "") == 4001


async def test_an_expired_ticket_is_refused(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    assert await refusal(broker, await broker.ticket(desk, expires=timezone.now())) == 4001


async def test_a_foreign_ticket_is_refused(broker: Broker, facility: Facility, desk: Instance, desktop: Xvnc) -> None:
    """One for somebody who may not, one for another app, and one of somebody whose account was closed."""
    assert await refusal(broker, await broker.ticket(desk, facility.eve)) == 4001
    assert await refusal(broker, await broker.ticket(desk, app="jupyter")) == 4001
    facility.ada.is_active = False
    await in_database(facility.ada.save)
    assert await refusal(broker, await broker.ticket(desk)) == 4001
    assert await in_database(Connection.objects.count) == 0


async def test_a_ticket_dies_with_the_login_it_came_from(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    session = await in_database(
        Session.objects.create, session_key="k" * 32, session_data="", expire_date=timezone.now() + timedelta(hours=1)
    )
    digest = hashlib.sha256(b"k" * 32).hexdigest()
    async with broker.sit(desk, session=digest):
        pass
    await in_database(session.delete)
    assert await refusal(broker, await broker.ticket(desk, session=digest)) == 4001


@pytest.mark.parametrize("state", [State.STOPPED, State.DELETED, State.STARTING])
async def test_a_ticket_for_what_does_not_run_is_refused(
    broker: Broker, facility: Facility, desktop: Xvnc, state: State
) -> None:
    there = await in_database(another, facility, facility.ada, state)
    assert await refusal(broker, await broker.ticket(there)) == 4001


@pytest.mark.parametrize(
    "origin", [None, "null", "http://localhost:8001", "https://localhost:8000", "http://evil.example"]
)
async def test_a_foreign_origin_is_refused_before_anything_else(
    broker: Broker, desk: Instance, desktop: Xvnc, origin: str | None
) -> None:
    ticket = await broker.ticket(desk)
    with pytest.raises(InvalidStatus) as refused:
        await broker.knock(ticket, origin=origin)
    assert refused.value.response.status_code == 403
    async with broker.knock(ticket) as socket:
        assert await socket.recv() == b"RFB 003.008\n", "the ticket was not used up"


async def test_control_moves_the_pointer_and_changes_the_size(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        await seat.socket.send(POINTER[:2])
        await seat.socket.send(POINTER[2:] + struct.pack(">BxHi", 2, 1, -308))
        await seat.socket.send(
            struct.pack(">BxHHBx", 251, 1600, 600, 2)
            + struct.pack(">IHHHHI", 1, 0, 0, 800, 600, 0)
            + struct.pack(">IHHHHI", 2, 800, 0, 800, 600, 0)
        )
        await asyncio.to_thread(until, lambda: desktop.screens() == TWO, what="two screens", seconds=5)
        assert desktop.pointer() == (123, 234)


async def test_whoever_watches_sees_and_changes_nothing(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    before = desktop.pointer()
    async with broker.sit(desk, mode="watch") as seat:
        key = struct.pack(">BBxxI", 4, 1, 0x61)
        size = struct.pack(">BxHHBx", 251, 640, 480, 1) + struct.pack(">IHHHHI", 1, 0, 0, 640, 480, 0)
        for byte in POINTER + key + size + struct.pack(">Bxxxi", 6, 3) + b"abc":
            await seat.socket.send(bytes([byte]))
        assert len(await seat.see()) == 32 * 32 * 4
        assert desktop.pointer() == before
        assert desktop.screens() == ["800x600+0+0"]


async def test_what_rfb_does_not_know_ends_the_connection(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        await seat.socket.send(bytes([77]))
        assert (await ending(seat.socket))[0] == 1008
    async with broker.sit(desk) as seat:
        await seat.socket.send("text")
        assert (await ending(seat.socket))[0] == 1008


async def test_the_end_of_the_desktop_ends_the_connection(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        desktop.stop()
        assert (await ending(seat.socket))[0] == 4004
        assert await refusal(broker, await broker.ticket(desk)) == 4004


@pytest.mark.parametrize("by", ["instance", "connection", "user", "session"])
async def test_a_revocation_closes_within_a_second(broker: Broker, desk: Instance, desktop: Xvnc, by: str) -> None:
    digest = hashlib.sha256(b"s" * 32).hexdigest()
    await in_database(
        Session.objects.create, session_key="s" * 32, session_data="", expire_date=timezone.now() + timedelta(hours=1)
    )
    async with broker.sit(desk, session=digest) as seat:
        row = await in_database(Connection.objects.get)
        which = {"instance": str(desk.pk), "connection": str(row.pk), "user": desk.owner_id, "session": digest}[by]
        asked = time.monotonic()
        await in_database(announce, "close", reason="Your access has ended.", **{by: which})
        assert await ending(seat.socket) == (4003, "Your access has ended.")
        assert time.monotonic() - asked < 1
    assert (await closed_row(row.pk)).reason == "Your access has ended."


async def test_somebody_else_s_revocation_changes_nothing(
    broker: Broker, facility: Facility, desk: Instance, desktop: Xvnc
) -> None:
    async with broker.sit(desk) as seat:
        await in_database(announce, "close", user=facility.bob.pk, reason="x")
        await in_database(announce, "close", session="", reason="x")
        await in_database(announce, "instance", instance=str(desk.pk), owner=desk.owner_id, state="ready")
        await asyncio.sleep(0.3)
        assert await seat.see()


async def test_stopping_the_instance_closes_within_a_second(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        asked = time.monotonic()
        await in_database(announce, "instance", instance=str(desk.pk), owner=desk.owner_id, state="stopping")
        assert (await ending(seat.socket))[0] == 4004
        assert time.monotonic() - asked < 1


async def test_a_cloud_that_falls_silent_ends_nobody_s_session(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        await in_database(Instance.objects.update, state=State.UNKNOWN)
        await in_database(announce, "instance", instance=str(desk.pk), owner=desk.owner_id, state="unknown")
        await in_database(announce, "resync")
        await asyncio.sleep(0.3)
        assert await seat.see()


async def test_a_revocation_that_nobody_heard_is_found_in_the_rows(
    broker: Broker, desk: Instance, desktop: Xvnc
) -> None:
    async with broker.sit(desk) as seat:
        await in_database(Instance.objects.update, state=State.STOPPED)
        await in_database(announce, "resync")
        assert (await ending(seat.socket))[0] == 4004


async def test_a_seat_that_was_closed_in_the_rows_ends_with_the_next_heartbeat(
    broker: Broker, desk: Instance, desktop: Xvnc
) -> None:
    async with broker.sit(desk) as seat:
        await in_database(Connection.objects.update, closed=timezone.now(), reason="removed")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(broker.application.presence.beat(), loop_of(broker)))
        assert await ending(seat.socket) == (4003, "removed")


async def test_heartbeats_tell_bytes_and_input(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        began = await in_database(Connection.objects.get)
        await seat.socket.send(POINTER)
        await seat.see()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(broker.application.presence.beat(), loop_of(broker)))
        row = await in_database(Connection.objects.get)
    assert row.heartbeat > began.heartbeat
    assert row.input_at > began.opened
    assert row.bytes_out > 4096


async def test_a_reader_that_does_not_read_stops_the_desktop_from_sending(
    broker: Broker, desk: Instance, flood: Flood
) -> None:
    async with broker.knock(await broker.ticket(desk)) as socket:
        for said in (b"RFB 003.008\n", b"\1", b"\1"):
            await socket.recv()
            await socket.send(said)
        before = psutil.Process().memory_info().rss
        while True:
            told = flood.sent
            await asyncio.sleep(0.5)
            if told == flood.sent:
                break
        assert flood.sent < 16 << 20
        assert psutil.Process().memory_info().rss - before < 32 << 20
        asked = time.monotonic()
        await in_database(announce, "close", instance=str(desk.pk), reason="enough")
        assert (await closed_row((await in_database(Connection.objects.get)).pk)).reason == "enough"
        assert time.monotonic() - asked < 3
        flood.over.set()


async def test_a_desktop_that_does_not_read_stops_the_browser_from_sending(
    broker: Broker, desk: Instance, flood: Flood
) -> None:
    async with broker.knock(await broker.ticket(desk)) as socket:
        for said in (b"RFB 003.008\n", b"\1", b"\1"):
            await socket.recv()
            await socket.send(said)
        sent = 0
        with pytest.raises(TimeoutError):
            for _ in range(2000):
                await asyncio.wait_for(socket.send(POINTER * 10_000), 1)
                sent += 60_000
        assert sent < 16 << 20
        flood.over.set()
        socket.transport.abort()


def loop_of(broker: Broker) -> asyncio.AbstractEventLoop:
    (seat, *_) = broker.application.presence.seats.values()
    return seat.ended.get_loop()
