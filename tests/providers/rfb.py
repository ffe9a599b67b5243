"""A small RFB client over an instance's socket: what the tests see of a desktop, and how they type into it."""

import socket
import struct
import time
from dataclasses import dataclass, field

from PIL import Image

from instances.providers.base import Endpoint
from instances.providers.session import des

EXTENDED_DESKTOP_SIZE = -308
KEYS = {"\n": 0xFF0D, "F2": 0xFFBF, "Alt": 0xFFE9, "Control": 0xFFE3}


@dataclass
class Desktop:
    """One client. `screens` are the monitors that the server says it has, as (x, y, width, height)."""

    endpoint: Endpoint
    screens: list[tuple[int, int, int, int]] = field(default_factory=list)
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(self.endpoint.path)
        assert self._read(12) == b"RFB 003.008\n"
        self.socket.sendall(b"RFB 003.008\n")
        kinds = self._read(self._read(1)[0])
        assert kinds == b"\x02", f"only VNC authentication is offered, not {kinds!r}"
        self.socket.sendall(b"\x02")
        self.socket.sendall(des.encrypt(des.password_key(self.endpoint.secret), self._read(16)))
        if self._read(4) != bytes(4):
            raise PermissionError("wrong password")
        self.socket.sendall(b"\x01")
        self.width, self.height, name = struct.unpack(">HH16xI", self._read(24))
        self.name = self._read(name).decode()
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, EXTENDED_DESKTOP_SIZE))
        self.picture()

    def __enter__(self) -> "Desktop":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def picture(self) -> Image.Image:
        """All of the framebuffer, as it is now."""
        picture = Image.new("RGB", (self.width, self.height))
        self._request(incremental=False)
        while True:
            kind = self._read(1)[0]
            if kind == 0:
                if self._update(picture):
                    return picture
                self._request(incremental=True)  # the answer was only about the layout; the picture is still due
            if kind == 3:
                _, length = struct.unpack(">3sI", self._read(7))
                self._read(length)

    def _request(self, *, incremental: bool) -> None:
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def type(self, *keys: str) -> None:
        for key in keys:
            code = KEYS.get(key) or ord(key)
            for down in (1, 0):
                self.socket.sendall(struct.pack(">BBxxI", 4, down, code))
            time.sleep(0.01)

    def press(self, modifier: str, key: str) -> None:
        for down, name in ((1, modifier), (1, key), (0, key), (0, modifier)):
            self.socket.sendall(struct.pack(">BBxxI", 4, down, KEYS.get(name) or ord(name)))

    def click(self, x: int, y: int, times: int = 1, button: int = 1) -> None:
        for _ in range(times):
            for mask in (0, button, 0):
                self.socket.sendall(struct.pack(">BBHH", 5, mask, x, y))

    def _update(self, picture: Image.Image) -> bool:
        painted = False
        (count,) = struct.unpack(">xH", self._read(3))
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._read(12))
            if encoding == EXTENDED_DESKTOP_SIZE:
                screens = [struct.unpack(">IHHHHI", self._read(16)) for _ in range(self._read(4)[0])]
                self.screens = [screen[1:5] for screen in screens]
            else:
                data = self._read(width * height * 4)
                picture.paste(Image.frombytes("RGB", (width, height), data, "raw", "BGRX"), (x, y))
                painted = True
        return painted

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(min(1 << 20, count - len(data)))
            if not more:
                raise ConnectionError("the desktop closed the connection")
            data += more
        return bytes(data)
