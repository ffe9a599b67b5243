"""What stands behind the proxies, in a process of its own: `python -m tests.bench_broker.instance RFB-PORT HTTP-PORT`.

The desktop is RFB in its shortest form: FramebufferUpdateRequest is answered with as many bytes as it has pixels, and
everything else is read and forgotten. The web app answers `GET /N` with N bytes. Blocking sockets and a thread for each
connection: what is sent leaves in large pieces, at C's speed.
"""

import re
import socket
import struct
import sys
import threading
from collections.abc import Callable

UPDATE_REQUEST, POINTER = 3, 5
PIECE = bytes(1 << 18)
INIT = struct.pack(">HH16sI", 800, 600, b"\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x08\0\0\0\0", 5) + b"bench"
FIXED = {0: 20, UPDATE_REQUEST: 10, 4: 8, POINTER: 6, 150: 10}


def desktop(connection: socket.socket) -> None:
    for said, expected in [(b"RFB 003.008\n", 12), (b"\1\1", 1), (bytes(4), 1)]:
        connection.sendall(said)
        connection.recv(expected, socket.MSG_WAITALL)
    connection.sendall(INIT)
    rest = b""
    while data := connection.recv(1 << 16):
        rest += data
        at = 0
        while at < len(rest):
            kind = rest[at]
            length = FIXED.get(kind) or 4 + 4 * int.from_bytes(rest[at + 2 : at + 4], "big")
            if at + length > len(rest):
                break
            if kind == UPDATE_REQUEST:
                width, height = struct.unpack_from(">HH", rest, at + 6)
                send(connection, width * height)
            at += length
        rest = rest[at:]


def web_app(connection: socket.socket) -> None:
    rest = b""
    while data := connection.recv(1 << 16):
        rest += data
        while b"\r\n\r\n" in rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            asked = re.match(rb"GET /(\d+)", head)
            count = int(asked[1]) if asked else 0
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % count
            if count < len(PIECE):
                connection.sendall(answer + PIECE[:count])
            else:
                connection.sendall(answer)
                send(connection, count)


def send(connection: socket.socket, count: int) -> None:
    view = memoryview(PIECE)
    while count > 0:
        connection.sendall(view[: min(count, len(view))])
        count -= len(view)


def listen(port: int, serve: Callable[[socket.socket], None]) -> threading.Thread:
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)

    def one(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            serve(connection)
        except OSError:
            return
        finally:
            connection.close()

    def accept() -> None:
        while True:
            threading.Thread(target=one, args=[listening.accept()[0]], daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    return accepting


if __name__ == "__main__":
    threading.stack_size(256 << 10)
    desks = listen(int(sys.argv[1]), desktop)
    listen(int(sys.argv[2]), web_app)
    desks.join()
