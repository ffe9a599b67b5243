"""A browser's end of a desktop, as cheap as can be: a blocking socket, frames made beforehand, bytes only counted."""

import socket
import statistics
import struct
import time

POINTER = struct.pack(">BBHH", 5, 0, 123, 234)
MASK = b"\x5a\xc3\x0f\x96"


UPDATES, UPDATE = 100, 57_500
"""A desktop of 3840 x 1080 at work, as measured with Tight in quality 6: about 46 Mbit/s."""


def request(count: int) -> bytes:
    """An update of `count` pixels, rounded up: the bench's instance answers with as many bytes."""
    height = -(-count // 0xFFFF)
    return struct.pack(">BBHHHH", 3, 1, 0, 0, -(-count // height), height)


def frame(payload: bytes, opcode: int = 2) -> bytes:
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    length = len(payload)
    head = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + head + MASK + masked


def opening(*, protocols: list[str], host: str, headers: str) -> bytes:
    """The request that asks for a WebSocket."""
    path = "/desktop" if len(protocols) > 1 else "/"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n{headers}\r\n"
    ).encode()


class Viewer:
    """Connected, and through RFB's handshake."""

    def __init__(self, port: int, *, protocols: list[str], host: str = "127.0.0.1", headers: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 18)
        self.socket.sendall(opening(protocols=protocols, host=host, headers=headers))
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._fill()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0], head
        for expected, answer in [(12, b"RFB 003.008\n"), (2, b"\1"), (4, b"\1"), (29, b"")]:
            self._said(expected)
            if answer:
                self.socket.sendall(frame(answer))

    def _fill(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, "the proxy hung up"
        self._rest += data

    def _said(self, count: int) -> None:
        """Skip `count` bytes of payload, in whatever short frames they come."""
        got = 0
        while got < count:
            while len(self._rest) < 2 or len(self._rest) < 2 + self._rest[1]:
                self._fill()
            if self._rest[0] & 15 != 9:
                assert self._rest[0] & 15 == 2, bytes(self._rest)
                got += self._rest[1]
            self._rest = self._rest[2 + self._rest[1] :]

    def receive(self, count: int) -> None:
        """At least `count` bytes, frames' headers among them."""
        view, got = self._buffer, 0
        while got < count:
            more = self.socket.recv_into(view)
            assert more, "the proxy hung up"
            got += more

    def settle(self) -> None:
        """Read what may still come of an answer."""
        self.socket.settimeout(0.05)
        try:
            while self.socket.recv_into(self._buffer):
                pass
        except TimeoutError:
            self.socket.settimeout(60)

    def bulk(self, count: int) -> float:
        """Seconds until `count` bytes have come."""
        asked = time.perf_counter()
        self.socket.sendall(frame(request(count)))
        self.receive(count)
        took = time.perf_counter() - asked
        self.settle()
        return took

    def round_trip(self, rounds: int, count: int = 1000) -> float:
        """Seconds from a request to its answer of `count` bytes, the median."""
        ask = frame(request(count))
        took = []
        for _ in range(rounds):
            asked = time.perf_counter()
            self.socket.sendall(ask)
            self.receive(count)
            took.append(time.perf_counter() - asked)
        self.settle()
        return statistics.median(took)

    def watch(self, seconds: float, *, updates: int = UPDATES, count: int = UPDATE) -> float:
        """MB per second of a film: so many updates in a second, of `count` bytes each, for as long as asked."""
        ask, got, began = self._asking(count), 0, time.perf_counter()
        for number in range(int(seconds * updates)):
            time.sleep(max(0.0, began + number / updates - time.perf_counter()))
            self.socket.sendall(ask)
            self.receive(count)
            got += count
        return got / 1e6 / (time.perf_counter() - began)

    def _asking(self, count: int) -> bytes:
        return frame(request(count))

    def point(self, events: int, *, at_once: int, every: float = 0.0) -> None:
        """Pointer events, so many to a write; returns when the desktop has answered what was asked after them."""
        burst = frame(POINTER) * at_once
        for _ in range(events // at_once):
            self.socket.sendall(burst)
            if every:
                time.sleep(every)
        self.round_trip(1)

    def close(self) -> None:
        self.socket.close()


class Direct(Viewer):
    """Connected to the desktop without anything in between."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 18)
        for expected, answer in [(12, b"RFB 003.008\n"), (2, b"\1"), (4, b"\1"), (29, b"")]:
            self.socket.recv(expected, socket.MSG_WAITALL)
            self.socket.sendall(answer)

    def _asking(self, count: int) -> bytes:
        return request(count)
