"""A desktop's WebSocket at the level of its bytes: frames as they come, half-dead peers, and who holds whom back."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest

from instances.broker import server
from instances.broker.database import in_database
from instances.models import Connection, Instance
from instances.services.share import share
from tests.facility import Facility

from .test_desktop import closed_row
from .test_frames import frame
from .world import PORTAL, Broker, Xvnc

POINTER = struct.pack(">BBHH", 5, 0, 123, 234)


class Peer:
    """The browser's end, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), 5)
        length = second
        if length > 125:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        return first & 15, await self.reader.readexactly(length)

    async def code(self) -> int:
        """That of the close frame which ends this."""
        while True:
            opcode, payload = await self.hear()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")


@contextlib.asynccontextmanager
async def knocking(broker: Broker, ticket: str, early: bytes = b"") -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(
        f"GET /desktop HTTP/1.1\r\nHost: localhost:{broker.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Origin: {PORTAL}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: visa-desktop, ticket.{ticket}\r\n\r\n".encode()
        + early
    )
    try:
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def seated(broker: Broker, desk: Instance) -> AsyncIterator[Peer]:
    async with knocking(broker, await broker.ticket(desk)) as peer:
        for said in (b"RFB 003.008\n", b"\1", b"\1"):
            await peer.hear()
            peer.say(frame(said))
        await peer.hear()
        yield peer


async def pointed(desktop: Xvnc, x: int, y: int) -> bool:
    for _ in range(60):
        if desktop.pointer() == (x, y):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_message_in_many_frames_with_a_ping_between_them_is_one_stream(
    broker: Broker, desk: Instance, desktop: Xvnc
) -> None:
    async with seated(broker, desk) as peer:
        wire = frame(POINTER[:2], fin=False) + frame(b"are you there", opcode=9) + frame(POINTER[2:], opcode=0)
        for at in range(len(wire)):
            peer.say(wire[at : at + 1])
            await asyncio.sleep(0.001)
        assert await peer.hear() == (10, b"are you there")
        assert await pointed(desktop, 123, 234)


@pytest.mark.parametrize("wire", [b"\x82\x05hello", frame(b"text", opcode=1), b"\xc2\x80\0\0\0\0"])
async def test_what_no_browser_sends_ends_the_connection(
    broker: Broker, desk: Instance, desktop: Xvnc, wire: bytes
) -> None:
    async with seated(broker, desk) as peer:
        peer.say(wire)
        assert await peer.code() == 1008
    assert (await closed_row((await in_database(Connection.objects.get)).pk)).reason.startswith("The viewer sent")


async def test_who_speaks_before_the_answer_is_not_listened_to(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with knocking(broker, await broker.ticket(desk), early=frame(POINTER)) as peer:
        for said in (b"RFB 003.008\n", b"\1", b"\1", POINTER):
            await peer.hear()
            peer.say(frame(said))
        assert await pointed(desktop, 123, 234)


async def test_a_close_frame_is_answered_and_told_in_the_row(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with seated(broker, desk) as peer:
        peer.say(frame(POINTER) + frame(struct.pack(">H", 1001), opcode=8))
        assert await peer.code() == 1001
        assert (await closed_row((await in_database(Connection.objects.get)).pk)).reason == "left"
        assert await pointed(desktop, 123, 234)


async def test_a_connection_that_breaks_off_is_told_in_the_row(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with seated(broker, desk):
        pass
    assert (await closed_row((await in_database(Connection.objects.get)).pk)).reason == "connection lost"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker asks sooner and waits less, in the same proportion."""
    monkeypatch.setattr(server, "PING", server.PING / 20)
    monkeypatch.setattr(server, "PONG", server.PONG / 20)


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_answers_no_ping_frees_its_seat(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    """A laptop whose lid was closed: TCP takes what is sent, and nobody answers."""
    async with seated(broker, desk):
        row = await in_database(Connection.objects.get)
        assert (await closed_row(row.pk)).reason == "connection lost"


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_answers_keeps_its_seat(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:  # its client answers pings while it reads
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seat.socket.recv(), 4)
        await seat.see()
    assert server.PING + server.PONG < 1.5


async def test_keys_and_buttons_are_let_go_when_control_is_taken_away(
    broker: Broker, facility: Facility, desk: Instance, desktop: Xvnc
) -> None:
    def lets(role: str) -> None:
        share(desk.pk, acting_user=desk.owner, user=facility.bob.pk, role=role)

    await in_database(lets, "collaborator")
    async with broker.sit(desk, user=facility.bob) as seat:
        await seat.socket.send(struct.pack(">BBHH", 5, 1, 50, 60))
        await seat.see()
        assert desktop.buttons() == 1
        await in_database(lets, "viewer")
        for _ in range(40):
            if not desktop.buttons():
                break
            await asyncio.sleep(0.05)
        assert desktop.buttons() == 0
        await seat.socket.send(struct.pack(">BBHH", 5, 1, 70, 80))
        await seat.see()
        assert desktop.pointer() == (50, 60)
