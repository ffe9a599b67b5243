"""A short RFB conversation with Xvnc that lays out its monitors: message 251 is the only way to get a second one."""

import socket
import ssl
import struct
from pathlib import Path

from . import des

SET_DESKTOP_SIZE = 251
EXTENDED_DESKTOP_SIZE = -308
VNC_AUTHENTICATION, VENCRYPT = 2, 19
X509_VNC = 261


def layout(sizes: list[tuple[int, int]]) -> bytes:
    """SetDesktopSize for monitors side by side from left to right, their upper edges in line."""
    width, height = sum(w for w, _ in sizes), max(h for _, h in sizes)
    message = struct.pack(">BxHHBx", SET_DESKTOP_SIZE, width, height, len(sizes))
    left = 0
    for number, (w, h) in enumerate(sizes):
        message += struct.pack(">IHHHHI", number, left, 0, w, h, 0)
        left += w
    return message


def lay_out(path: Path, key: bytes, sizes: list[tuple[int, int]], *, tls: bool = False) -> None:
    """Returns when Xvnc has read the wish; OSError when it does not talk to us, or not as we ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        _exactly(connection, 12)
        connection.sendall(b"RFB 003.008\n")
        kind = VENCRYPT if tls else VNC_AUTHENTICATION
        if kind not in _exactly(connection, _exactly(connection, 1)[0]):
            raise ConnectionError(f"Xvnc does not offer the security type {kind}")
        connection.sendall(bytes([kind]))
        if not tls:
            _ask(connection, key, sizes)
            return
        with _secured(connection) as secured:
            _ask(secured, key, sizes)


def _ask(connection: socket.socket, key: bytes, sizes: list[tuple[int, int]]) -> None:
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


def _secured(connection: socket.socket) -> socket.socket:
    """VeNCrypt 0.2 up to TLS. Whose certificate it is does not matter: the socket lies in a folder of our own."""
    _exactly(connection, 2)
    connection.sendall(b"\0\2")
    _exactly(connection, 1)
    _exactly(connection, 4 * _exactly(connection, 1)[0])
    connection.sendall(struct.pack(">I", X509_VNC))
    if _exactly(connection, 1) != b"\1":
        raise ConnectionError("Xvnc does not begin TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        more = connection.recv(count - len(received))
        if not more:
            raise ConnectionError("Xvnc closed the connection")
        received += more
    return received
