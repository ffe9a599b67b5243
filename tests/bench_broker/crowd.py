"""`make bench-crowd`: 2,000 idle and 50 active desktops in one broker process, a third of them half-dead.

Half-dead is a laptop whose lid was closed: TCP stands, nothing is read or answered any more. For MINUTES minutes (10)
the process's memory and the open seats are written down. Fails when memory grows, when a dead peer's seat is not freed
within 30 seconds, or when one of the living loses its seat.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.portal import free_ports

from . import portal, proxies
from .viewer import POINTER, frame, request

IDLE, ACTIVE = int(os.environ.get("IDLE", "2000")), int(os.environ.get("ACTIVE", "50"))
MINUTES = float(os.environ.get("MINUTES", "10"))
AT_ONCE = 50
FREED_WITHIN = 30.0
GROWTH = 1.05
"""Of memory, from the second minute on."""
HANDSHAKE = [(12, b"RFB 003.008\n"), (2, b"\1"), (4, b"\1"), (29, b"")]


class Peer(asyncio.Protocol):
    """A browser: through the handshake, then answering pings until it is told to fall asleep."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._rest = b""
        self._steps = list(HANDSHAKE)
        self._http = True
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self.asleep = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if self._http:
            head, found, self._rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            assert b" 101 " in head.split(b"\r\n")[0], head
            self._http = False
        while (taken := self._frame()) is not None:
            opcode, payload = taken
            if opcode == 9:
                self.transport.write(frame(payload, opcode=10))
            elif opcode == 2 and self._steps:
                _, answer = self._steps.pop(0)
                if answer:
                    self.transport.write(frame(answer))
                elif not self._steps:
                    self.ready.set_result(None)

    def _frame(self) -> tuple[int, bytes] | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        length, start = rest[1], 2
        if length > 125:
            start += 2 if length == 126 else 8
            length = int.from_bytes(rest[2:start], "big")
        if len(rest) < start + length:
            return None
        self._rest = rest[start + length :]
        return rest[0] & 15, rest[start : start + length]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def fall_asleep(self) -> None:
        self.asleep = True
        self.transport.pause_reading()


async def sit(broker: portal.Broker) -> Peer:
    head = await asyncio.to_thread(broker.head, "control")
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(lambda: Peer(head), "127.0.0.1", broker.port)
    await asyncio.wait_for(peer.ready, 60)
    return peer


async def work(peer: Peer) -> None:
    """Ten times in a second the pointer moves and a picture of 20 KB is asked for."""
    while not peer.lost and not peer.asleep:
        peer.transport.write(frame(POINTER) + frame(request(20_000)))
        await asyncio.sleep(0.1)


async def main(broker: portal.Broker) -> int:
    peers: list[Peer] = []
    while len(peers) < IDLE + ACTIVE:
        peers += await asyncio.gather(*(sit(broker) for _ in range(min(AT_ONCE, IDLE + ACTIVE - len(peers)))))
    working = [asyncio.create_task(work(peer)) for peer in peers[:ACTIVE]]
    print(f"{len(peers)} seats; {broker.process.memory() / 1e6:.0f} MB", flush=True)
    dead = peers[::3]
    for peer in dead:
        peer.fall_asleep()
    began = time.monotonic()
    freed = None
    memory: list[float] = []
    while (spent := time.monotonic() - began) < MINUTES * 60:
        seats = await asyncio.to_thread(broker.seats)
        if freed is None and seats <= len(peers) - len(dead):
            freed = spent
        if not memory or spent > len(memory) * 15:
            memory.append(broker.process.memory() / 1e6)
            print(f"{spent:5.0f} s  {seats} seats  {memory[-1]:.1f} MB", flush=True)
        await asyncio.sleep(0.5)
    for task in working:
        task.cancel()
    lost = sum(peer.lost for peer in peers if not peer.asleep)
    settled = memory[4] if len(memory) > 4 else memory[0]
    late = freed is None or freed > FREED_WITHIN
    grown = memory[-1] / settled
    when = "never" if freed is None else f"{freed:.0f} s"
    print(f"\nthe seats of {len(dead)} half-dead peers were freed after {when} (≤ {FREED_WITHIN:.0f})")
    print(f"memory from the second minute on: × {grown:.3f} (≤ {GROWTH})")
    print(f"seats of the living that were lost: {lost} (0)")
    return 1 if late or grown > GROWTH or lost else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="visa-bench-crowd-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        rfb = free_ports(6)
        command = [sys.executable, "-m", "tests.bench_broker.instance", str(rfb), str(rfb + 1)]
        with (
            proxies.running(command, rfb, folder / "instance.log"),
            portal.broker(folder, rfb + 5, rfb=rfb, http=rfb + 1) as served,
        ):
            sys.exit(uvloop.run(main(served)))
