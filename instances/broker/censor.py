"""What a desktop may say where its clipboard is to stay inside: everything but its clipboard. Pure.

It has to know where each message ends, so that whoever uses it lets browsers ask only for `ENCODINGS`, in the pixel
format that FORMAT describes. Sources: RFC 6143 and rfbproto (Tight, extended desktop size, fences, desktop name, LED).
"""

from collections.abc import Generator
from typing import NamedTuple

RAW, COPY_RECT, TIGHT, ZRLE = 0, 1, 7, 16
CURSOR, DESKTOP_SIZE, LAST_RECT, QEMU_KEYS = -239, -223, -224, -258
LED_STATE, NAME, EXTENDED_SIZE, FENCE, CONTINUOUS = -261, -307, -308, -312, -313
ENCODINGS = frozenset(
    {RAW, COPY_RECT, TIGHT, ZRLE, CURSOR, DESKTOP_SIZE, LAST_RECT, QEMU_KEYS, LED_STATE, NAME, EXTENDED_SIZE, FENCE}
    | {CONTINUOUS, *range(-32, -22), *range(-256, -246)}
)
"""The two ranges say how well to compress; nothing comes in them."""
FORMAT = b"\x20\x18", b"\1\0\xff\0\xff\0\xff"
"""32 bits, of which 24 count; and, after the byte order, true colours of 8 bits each."""
_PIXEL, _TIGHT_PIXEL = 4, 3
_SMALL = 12
"""Tight does not compress less than this many bytes."""


class Unreadable(Exception):
    """The desktop said something whose end is not known."""


class _Read(NamedTuple):
    """Wait for `size` bytes."""

    size: int


class _Pass(NamedTuple):
    """Let `head` go on, and the next `size` bytes as they come."""

    head: bytes
    size: int = 0


class _Drop(NamedTuple):
    size: int


_Steps = Generator[_Read | _Pass | _Drop, bytes, None]


class Censor:
    """Bytes from the desktop in, the bytes that a browser may see out. Keeps no more than a message's head."""

    __slots__ = ("_head", "_left", "_letting", "_need", "_steps", "dropped")

    def __init__(self) -> None:
        self.dropped = 0
        """Clipboards that were held back."""
        self._head = bytearray()
        self._need = 0
        self._left = 0
        self._letting = False
        self._steps = self._messages()
        self._expect(next(self._steps), [])

    def feed(self, data: bytes) -> bytes:
        """Raises Unreadable; after that the censor is of no use."""
        out: list[bytes] = []
        at, end = 0, len(data)
        while True:
            if self._left:
                taken = min(self._left, end - at)
                if self._letting:
                    out.append(data[at : at + taken])
                at += taken
                self._left -= taken
                if self._left:
                    break
                self._expect(next(self._steps), out)
                continue
            taken = min(self._need - len(self._head), end - at)
            self._head += data[at : at + taken]
            at += taken
            if len(self._head) < self._need:
                break
            head, self._head = bytes(self._head), bytearray()
            self._expect(self._steps.send(head), out)
        return b"".join(out)

    def _expect(self, step: _Read | _Pass | _Drop, out: list[bytes]) -> None:
        while not isinstance(step, _Read):
            if isinstance(step, _Pass) and step.head:
                out.append(step.head)
            if step.size:
                self._left, self._letting = step.size, isinstance(step, _Pass)
                return
            step = next(self._steps)
        self._need = step.size

    def _messages(self) -> _Steps:
        while True:
            kind = yield _Read(1)
            match kind[0]:
                case 0:
                    yield from self._update(kind)
                case 1:
                    head = yield _Read(5)
                    yield _Pass(kind + head, 6 * _number(head[3:5]))
                case 2 | 150:
                    yield _Pass(kind)
                case 3:
                    head = yield _Read(7)
                    self.dropped += 1
                    yield _Drop(abs(int.from_bytes(head[3:7], "big", signed=True)))
                case 248:
                    head = yield _Read(8)
                    yield _Pass(kind + head, head[7])
                case other:
                    raise Unreadable(f"message type {other}")

    def _update(self, kind: bytes) -> _Steps:
        head = yield _Read(3)
        yield _Pass(kind + head)
        count = _number(head[1:3])
        while count:
            rectangle = yield _Read(12)
            yield _Pass(rectangle)
            encoding = int.from_bytes(rectangle[8:12], "big", signed=True)
            if encoding == LAST_RECT:
                return
            yield from _rectangle(_number(rectangle[4:6]), _number(rectangle[6:8]), encoding)
            if count != 0xFFFF:  # where LastRect tells the end
                count -= 1


def _rectangle(width: int, height: int, encoding: int) -> _Steps:
    match encoding:
        case -223 | -258:  # DESKTOP_SIZE, QEMU_KEYS: nothing follows
            return
        case 0:  # RAW
            yield _Pass(b"", width * height * _PIXEL)
        case 1:  # COPY_RECT
            yield _Pass(b"", 4)
        case 7:  # TIGHT
            yield from _tight(width, height)
        case 16 | -307:  # ZRLE, NAME
            length = yield _Read(4)
            yield _Pass(length, _number(length))
        case -239:  # CURSOR: pixels and a mask
            yield _Pass(b"", width * height * _PIXEL + (width + 7) // 8 * height)
        case -261:  # LED_STATE
            yield _Pass(b"", 1)
        case -308:  # EXTENDED_SIZE
            head = yield _Read(4)
            yield _Pass(head, 16 * head[0])
        case other:
            raise Unreadable(f"encoding {other}")


def _tight(width: int, height: int) -> _Steps:
    control = yield _Read(1)
    yield _Pass(control)
    kind = control[0] >> 4
    if kind == 8:  # one colour
        yield _Pass(b"", _TIGHT_PIXEL)
        return
    if kind == 9:  # JPEG
        yield from _compact()
        return
    if kind > 9:
        raise Unreadable(f"Tight compression {kind}")
    size = width * height * _TIGHT_PIXEL
    if kind & 4:
        chosen = yield _Read(1)
        yield _Pass(chosen)
        if chosen[0] == 1:  # a palette
            colours = yield _Read(1)
            yield _Pass(colours, (colours[0] + 1) * _TIGHT_PIXEL)
            size = (width + 7) // 8 * height if colours[0] == 1 else width * height
        elif chosen[0] > 2:
            raise Unreadable(f"Tight filter {chosen[0]}")
    if size < _SMALL:
        yield _Pass(b"", size)
    else:
        yield from _compact()


def _compact() -> _Steps:
    """A length in one to three bytes, and as many bytes."""
    length, said = 0, b""
    for turn in range(3):
        one = yield _Read(1)
        said += one
        length |= (one[0] & (0xFF if turn == 2 else 0x7F)) << 7 * turn
        if not one[0] & 0x80:
            break
    yield _Pass(said, length)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
