"""A short RFB conversation with Xvnc that lays out its monitors: message 251 is the only way to get a second one."""

import socket
import struct
from pathlib import Path

from . import des

SET_DESKTOP_SIZE = 251
EXTENDED_DESKTOP_SIZE = -308
VNC_AUTHENTICATION = 2


def layout(sizes: list[tuple[int, int]]) -> bytes:
    """SetDesktopSize for monitors side by side from left to right, their upper edges in line."""
    width, height = sum(w for w, _ in sizes), max(h for _, h in sizes)
    message = struct.pack(">BxHHBx", SET_DESKTOP_SIZE, width, height, len(sizes))
    left = 0
    for number, (w, h) in enumerate(sizes):
        message += struct.pack(">IHHHHI", number, left, 0, w, h, 0)
        left += w
    return message


def lay_out(path: Path, key: bytes, sizes: list[tuple[int, int]]) -> None:
    """Returns when Xvnc has read the wish; OSError when it does not talk to us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        _exactly(connection, 12)
        connection.sendall(b"RFB 003.008\n")
        (count,) = _exactly(connection, 1)
        if VNC_AUTHENTICATION not in _exactly(connection, count):
            raise ConnectionError("Xvnc does not offer VNC authentication")
        connection.sendall(bytes([VNC_AUTHENTICATION]))
        connection.sendall(des.encrypt(key, _exactly(connection, 16)))
        if _exactly(connection, 4) != bytes(4):
            raise ConnectionError("Xvnc does not take its own password")
        connection.sendall(b"\x01")  # shared: nobody is thrown out
        _, _, name = struct.unpack(">HH16xI", _exactly(connection, 24))
        _exactly(connection, name)
        # Xvnc 1.12 crashes when a client that has not said which encodings it takes asks for a size
        connection.sendall(struct.pack(">BxHii", 2, 2, 0, EXTENDED_DESKTOP_SIZE) + layout(sizes))
        # its answer to what is asked next comes after it has done what was asked before
        connection.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1))
        _exactly(connection, 1)


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        more = connection.recv(count - len(received))
        if not more:
            raise ConnectionError("Xvnc closed the connection")
        received += more
    return received
