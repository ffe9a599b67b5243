"""Keys and buttons that somebody holds down, for when they may hold them no longer. Pure."""

MOST = 128
"""Keys that are remembered: more are not held by anybody's fingers."""
KEY, POINTER, QEMU = 4, 5, 255


class Held:
    """What a client's messages have pressed and not released."""

    __slots__ = ("_keys", "_pointer")

    def __init__(self) -> None:
        self._keys: dict[bytes, None] = {}
        self._pointer = b""

    def see(self, message: bytes) -> None:
        """One whole message that the desktop was given."""
        kind = message[0]
        if kind == POINTER:
            self._pointer = message
        elif kind == KEY:
            self._key(message[:1] + b"\0" + message[2:], down=message[1] != 0)
        elif kind == QEMU:
            self._key(message[:2] + b"\0\0" + message[4:], down=message[2:4] != b"\0\0")

    def let_go(self) -> bytes:
        """Messages that release everything."""
        released = b"".join(self._keys)
        self._keys.clear()
        if self._pointer and self._pointer[1]:
            self._pointer = bytes((POINTER, 0)) + self._pointer[2:6]
            released += self._pointer
        return released

    def _key(self, release: bytes, *, down: bool) -> None:
        if not down:
            self._keys.pop(release, None)
        else:
            self._keys[release] = None
            if len(self._keys) > MOST:
                del self._keys[next(iter(self._keys))]
