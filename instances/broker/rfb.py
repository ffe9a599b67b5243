"""What a browser may say to a desktop: an incremental filter of RFB client messages. Pure, default deny.

Source: RFC 6143 and the community's rfbproto (extended clipboard, fences, continuous updates, desktop size, extended
mouse buttons, QEMU key events).
"""

from dataclasses import dataclass, field

from .censor import ENCODINGS, FORMAT
from .held import Held

SET_PIXEL_FORMAT = 0
SET_ENCODINGS = 2
UPDATE_REQUEST = 3
KEY = 4
POINTER = 5
CLIPBOARD = 6
CONTINUOUS_UPDATES = 150
FENCE = 248
SET_DESKTOP_SIZE = 251
QEMU = 255

COPY_RECT = 1
EXTENDED_DESKTOP_SIZE = -308
EXTENDED_MOUSE_BUTTONS = -316
EXTENDED_CLIPBOARD = -1063131698
CLIPBOARD_LIMIT = 1 << 20
MAX_ENCODINGS = 256
MAX_FENCE = 64
MAX_SCREENS = 16
MAX_NOTED = 1000

_FIXED = {SET_PIXEL_FORMAT: 20, UPDATE_REQUEST: 10, KEY: 8, POINTER: 6, CONTINUOUS_UPDATES: 10}
_WATCHING = frozenset({SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, CONTINUOUS_UPDATES, FENCE})
_CONTROLLING = _WATCHING | {KEY, POINTER, CLIPBOARD, SET_DESKTOP_SIZE, QEMU}
_PLACED = frozenset({UPDATE_REQUEST, CONTINUOUS_UPDATES, POINTER})
_INPUT = frozenset({KEY, POINTER, CLIPBOARD, QEMU})
_PLAIN = frozenset(_FIXED)
_PLAIN_WATCHING = _PLAIN & _WATCHING
_LONG_POINTER = frozenset({POINTER})
_PIXELS = frozenset({SET_PIXEL_FORMAT})


class Violation(Exception):
    """The browser said something that RFB, or this filter, does not know. The connection must be closed."""


@dataclass(frozen=True, slots=True)
class Area:
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class SizeRequest:
    """What SetDesktopSize asks for: the whole desktop and its screens, in pixels. `raw` is the message itself."""

    width: int
    height: int
    screens: tuple[Area, ...]
    raw: bytes = field(default=b"", compare=False, repr=False)


class Filter:
    """Bytes from one client in, the bytes that the server may see out.

    `watching` may be switched at any time and holds from the next message on. At most one message is kept, and none is
    longer than `clipboard_limit` plus a header: longer clipboards are dropped as they pass, without being kept.

    Nobody resizes a desktop by themselves: a SetDesktopSize is taken out and kept as `size_request`, for whoever knows
    of all windows. `part` is for a window that shows one screen: pictures are asked for, and pointed at, within `area`
    once that is known, and nothing is copied from beyond it.

    `pastes`: its clipboard may go in. `censored`: a Censor reads what the desktop answers, so that only what that
    knows may be asked for.

    `extended_pointer` says that the server is known to read the seven-byte PointerEvent. Where it is not known, and
    for whoever watches, the encoding is taken out of SetEncodings, because the length of a PointerEvent would depend
    on what the server thinks. A SetDesktopSize of a client that has not said that it understands sizes is dropped.
    """

    __slots__ = (
        "_buffer",
        "_held",
        "_long_pointer",
        "_need",
        "_sizes",
        "_skip",
        "area",
        "censored",
        "clipboard_limit",
        "clipboards",
        "dropped",
        "extended_pointer",
        "inputs",
        "part",
        "pastes",
        "size_request",
        "watching",
    )

    def __init__(
        self,
        *,
        watching: bool,
        clipboard_limit: int = CLIPBOARD_LIMIT,
        extended_pointer: bool = False,
        part: bool = False,
        pastes: bool = True,
        censored: bool = False,
    ) -> None:
        self.watching = watching
        self.part = part
        self.pastes = pastes
        self.censored = censored
        self.clipboards: list[int] = []
        """The lengths of those that were let through, for whoever takes them out and writes them down."""
        self.area: Area | None = None
        self.clipboard_limit = clipboard_limit
        self.extended_pointer = extended_pointer
        self.inputs = 0
        """Keys, pointer events and clipboards that were let through."""
        self.dropped = 0
        self.size_request: SizeRequest | None = None
        """The last one; whoever acts upon it takes it away."""
        self._buffer = bytearray()
        self._held = Held()
        self._need = 1
        self._skip = 0
        self._long_pointer = False
        self._sizes = False

    @property
    def at_boundary(self) -> bool:
        """Everything given so far was whole messages: something may be put in between here."""
        return not self._buffer and not self._skip

    def feed(self, data: bytes) -> bytes:
        """The part of `data` that may go on, whole messages only.

        Raises Violation; after that the filter is of no use.
        """
        if self._skip:
            taken = min(self._skip, len(data))
            self._skip -= taken
            data = data[taken:]
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return b""
            data, self._buffer = bytes(self._buffer), bytearray()
        self._need = 1
        out: list[bytes] = []
        plain = self._plain
        at = since = 0  # what lies between them goes on as it is
        end = len(data)
        pointed = -1
        while at < end:
            kind = data[at]
            if kind in plain:
                length = _FIXED[kind]
                if at + length > end:
                    self._need = length
                    break
                if kind == POINTER:
                    self.inputs += 1
                    pointed = at
                elif kind == KEY:
                    self.inputs += 1
                    self._held.see(data[at : at + length])
                at += length
                continue
            if since < at:
                out.append(data[since:at])
            since = at
            known = self._length(data, at)
            if known is None:
                break
            if self._too_long(kind, known):
                self.dropped += 1
                self._skip = max(0, at + known - end)
                at = since = min(end, at + known)
                continue
            if at + known > end:
                self._need = known
                break
            if kind == POINTER:
                pointed = -1
            out.append(self._judged(data[at : at + known]))
            at = since = at + known
            plain = self._plain
        if since < at:
            out.append(data[since:at])
        if pointed >= 0:
            self._held.see(data[pointed : pointed + _FIXED[POINTER]])
        if at < end:
            self._buffer = bytearray(data[at:])
        return out[0] if len(out) == 1 else b"".join(out)

    def let_go(self) -> bytes:
        """Messages for the desktop that release every key and button that this client holds down."""
        return self._held.let_go()

    @property
    def _plain(self) -> frozenset[int]:
        """The kinds of a fixed length that go on unchanged and need no look."""
        plain = _PLAIN_WATCHING if self.watching else _PLAIN
        if self.censored:
            plain -= _PIXELS
        if self.area:
            return plain - _PLACED
        return plain - _LONG_POINTER if self._long_pointer else plain

    def _length(self, buffer: bytes, at: int) -> int | None:
        """Of the message that begins at `at`; None (with `_need` set) when its header has not all arrived."""
        kind = buffer[at]
        have = len(buffer) - at
        if kind == POINTER and self._long_pointer:
            return self._after(2, have) and (7 if buffer[at + 1] & 0x80 else 6)
        fixed = _FIXED.get(kind)
        if fixed is not None:
            return fixed
        if kind == SET_ENCODINGS:
            return self._after(4, have) and 4 + 4 * _most(_u16(buffer, at + 2), MAX_ENCODINGS, "encodings")
        if kind == CLIPBOARD:
            return self._after(8, have) and 8 + abs(int.from_bytes(buffer[at + 4 : at + 8], "big", signed=True))
        if kind == FENCE:
            return self._after(9, have) and 9 + _most(buffer[at + 8], MAX_FENCE, "bytes in a fence")
        if kind == SET_DESKTOP_SIZE:
            return self._after(8, have) and 8 + 16 * _most(buffer[at + 6], MAX_SCREENS, "screens")
        if kind == QEMU:
            if self._after(2, have) and buffer[at + 1] != 0:
                raise Violation(f"QEMU message {buffer[at + 1]}")
            return self._after(2, have) and 12
        raise Violation(f"message type {kind}")

    def _after(self, header: int, have: int) -> int | None:
        if have < header:
            self._need = header
            return None
        return header

    def _too_long(self, kind: int, length: int) -> bool:
        """Such a message is let go by byte by byte; a watcher's clipboard is never kept, whatever its length."""
        return kind == CLIPBOARD and (self.watching or not self.pastes or length - 8 > self.clipboard_limit)

    def _judged(self, message: bytes) -> bytes:
        kind = message[0]
        if kind not in (_WATCHING if self.watching else _CONTROLLING):
            self.dropped += 1
            return b""
        if self.area and kind in _PLACED:
            message = _within(self.area, message)
        if kind in _INPUT:
            self.inputs += 1
            self._held.see(message)
            if kind == CLIPBOARD and len(self.clipboards) < MAX_NOTED:
                self.clipboards.append(len(message) - 8)
        elif kind == SET_PIXEL_FORMAT:
            if self.censored and not (message[4:6] == FORMAT[0] and message[7:14] == FORMAT[1]):
                raise Violation("a pixel format that cannot be read along")
        elif kind == SET_ENCODINGS:
            return self._encodings(message)
        elif kind == SET_DESKTOP_SIZE:
            if self._sizes:  # else TigerVNC 1.12 crashes on it
                self.size_request = _size_request(message)
            else:
                self.dropped += 1
            return b""
        return message

    def _encodings(self, message: bytes) -> bytes:
        wanted = [int.from_bytes(message[i : i + 4], "big", signed=True) for i in range(4, len(message), 4)]
        self._long_pointer = self.extended_pointer and not self.watching and EXTENDED_MOUSE_BUTTONS in wanted
        self._sizes = EXTENDED_DESKTOP_SIZE in wanted
        unwanted = {COPY_RECT} if self.part else set()
        if not self._long_pointer:
            unwanted.add(EXTENDED_MOUSE_BUTTONS)
        if self.censored:
            unwanted |= set(wanted) - ENCODINGS
        elif not self.pastes:
            unwanted.add(EXTENDED_CLIPBOARD)
        kept = [encoding.to_bytes(4, "big", signed=True) for encoding in wanted if encoding not in unwanted]
        return message[:2] + len(kept).to_bytes(2, "big") + b"".join(kept)


def _most(value: int, limit: int, what: str) -> int:
    if value > limit:
        raise Violation(f"{value} {what}")
    return value


def _u16(buffer: bytes, at: int) -> int:
    return buffer[at] << 8 | buffer[at + 1]


def _within(area: Area, message: bytes) -> bytes:
    """A rectangle or a point, moved and cut to what lies within `area`: at least one pixel of it."""
    x, y = _u16(message, 2), _u16(message, 4)
    left = min(max(x, area.x), area.x + area.width - 1)
    top = min(max(y, area.y), area.y + area.height - 1)
    placed = message[:2] + left.to_bytes(2, "big") + top.to_bytes(2, "big")
    if message[0] == POINTER:
        return placed + message[6:]
    right = min(max(x + _u16(message, 6), left + 1), area.x + area.width)
    bottom = min(max(y + _u16(message, 8), top + 1), area.y + area.height)
    return placed + (right - left).to_bytes(2, "big") + (bottom - top).to_bytes(2, "big")


def _size_request(message: bytes) -> SizeRequest:
    return SizeRequest(
        _u16(message, 2),
        _u16(message, 4),
        tuple(
            Area(_u16(message, i + 4), _u16(message, i + 6), _u16(message, i + 8), _u16(message, i + 10))
            for i in range(8, len(message), 16)
        ),
        message,
    )
