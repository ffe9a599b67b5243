"""WebSocket frames around a stream of bytes (RFC 6455, section 5), as far as a desktop needs them. Pure.

Messages mean nothing here: RFB is a stream, so that the payload of half a frame goes on as it comes, and nothing but an
incomplete head or control frame is ever kept.
"""

from typing import NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C extension
    from websockets.utils import apply_mask

PING, PONG, CLOSE = 9, 10, 8
_FIN, _CONTINUATION, _BINARY = 0x80, 0, 2
_WHOLE = _FIN | _BINARY
_MASKED = 0x80
MAX_CONTROL = 125


class BadFrame(Exception):
    """What came is no frame that a browser sends to a desktop. The connection must be closed."""


class Control(NamedTuple):
    """A ping or a pong."""

    opcode: int
    payload: bytes


def head(length: int) -> bytes:
    """What comes before `length` bytes that the server sends."""
    if length <= MAX_CONTROL:
        return bytes((_WHOLE, length))
    if length < 1 << 16:
        return b"\x82\x7e" + length.to_bytes(2, "big")
    return b"\x82\x7f" + length.to_bytes(8, "big")


def pong(payload: bytes) -> bytes:
    return bytes((_FIN | PONG, len(payload))) + payload


class Frames:
    """The bytes that a client's frames carry.

    `controls` collects pings and pongs, for whoever answers them to take out. A close frame ends the stream: `closing`
    is that frame and all that came after it.
    """

    __slots__ = ("_key", "_left", "_open", "_rest", "closing", "controls")

    def __init__(self) -> None:
        self.controls: list[Control] = []
        self.closing = b""
        self._rest = b""
        self._left = 0
        self._key = b""
        self._open = False

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises BadFrame; after that, and after a close frame, this is of no more use."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        out = []
        at, end = 0, len(data)
        if self._left:
            at = min(self._left, end)
            out.append(self._part(data[:at], self._key, self._left))
        while end - at >= 2:
            first, second = data[at], data[at + 1]
            length, start = second & 0x7F, at + 6
            if length > MAX_CONTROL:
                start += 2 if length == 126 else 8
                if start <= end:
                    length = int.from_bytes(data[at + 2 : start - 4], "big")
            unusual = first != _WHOLE or second < _MASKED or self._open
            if unusual and self._is_control(first, second):
                if first & 15 == CLOSE:
                    self.closing = data[at:]
                    return b"".join(out)
                if start + length > end:
                    break
                payload = apply_mask(data[start : start + length], data[start - 4 : start])
                self.controls.append(Control(first & 15, payload))
                at = start + length
                continue
            if start > end:
                break
            stop = start + length
            if stop > end:
                out.append(self._part(data[start:], data[start - 4 : start], length))
                stop = end
            else:
                out.append(apply_mask(data[start:stop], data[start - 4 : start]))
            self._open = first < _FIN
            at = stop
        self._rest = data[at:]
        return out[0] if len(out) == 1 else b"".join(out)

    def _part(self, data: bytes, key: bytes, left: int) -> bytes:
        """Of a payload of which `left` bytes were still to come."""
        turn = len(data) % 4
        self._left = left - len(data)
        self._key = key[turn:] + key[:turn]
        return apply_mask(data, key)

    def _is_control(self, first: int, second: int) -> bool:
        """Of a frame's first two bytes. Raises BadFrame for what neither controls nor carries bytes of the stream."""
        if second < _MASKED:
            raise BadFrame("a frame that is not masked")
        if first & ~_FIN == (_CONTINUATION if self._open else _BINARY):
            return False
        if first in (_FIN | PING, _FIN | PONG, _FIN | CLOSE) and second & 0x7F <= MAX_CONTROL:
            return True
        raise BadFrame(f"a frame that begins with {first:#04x}")
