"""Large answers of known length: from the instance's socket to the browser's inside the kernel, never copied by us.

Linux's splice(2) through a pipe, on duplicates of the two descriptors, while the transports that own them rest.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable
from typing import Any

WORTH_IT = 1 << 20
"""Bytes from which on it pays to set this up."""
PIPE = 1 << 20
TURN = 8 << 20
"""Bytes after which everybody else has a turn."""
_NOW = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if hasattr(os, "splice") else 0


class Poured(bytes):
    """Stands for bytes that have left already: it has their number, and is not written again."""

    _count: int

    def __new__(cls, count: int) -> "Poured":
        made = super().__new__(cls)
        made._count = count
        return made

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return True


def can_pour(source: asyncio.Transport, sink: asyncio.Transport) -> bool:
    """Both are plain sockets, and nothing is on its way to the sink that would be overtaken."""
    plain = all(one.get_extra_info("socket") and not one.get_extra_info("sslcontext") for one in (source, sink))
    return bool(_NOW and plain and not sink.get_write_buffer_size())


async def pour(source: asyncio.Transport, sink: asyncio.Transport, count: int, moved: Callable[[int], None]) -> bool:
    """Move `count` bytes, telling `moved` as they leave; False where the source ended before. Raises OSError.

    Nobody else may read from the source or write to the sink meanwhile.
    """
    taking, giving = (os.dup(one.get_extra_info("socket").fileno()) for one in (source, sink))
    out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE)
        return await _pump(taking, giving, out, into, count, moved)
    finally:
        for fd in (taking, giving, out, into):
            os.close(fd)


async def _pump(source: int, sink: int, out: int, into: int, left: int, moved: Callable[[int], None]) -> bool:
    loop = asyncio.get_running_loop()
    waiting, turn = 0, 0  # bytes in the pipe, bytes since everybody had a turn
    while left or waiting:
        empty = False
        while left and waiting < PIPE and not empty:
            try:
                taken = os.splice(source, into, min(left, PIPE - waiting), flags=_NOW)
                if not taken:
                    return False
                left -= taken
                waiting += taken
            except BlockingIOError:
                empty = True
        if waiting:
            try:
                given = os.splice(out, sink, waiting, flags=_NOW)
                waiting -= given
                turn += given
                moved(given)
            except BlockingIOError:
                await _ready(sink, loop.add_writer, loop.remove_writer)
                turn = 0
        elif empty:
            await _ready(source, loop.add_reader, loop.remove_reader)
            turn = 0
        if turn > TURN:
            turn = 0
            await asyncio.sleep(0)
    return True


async def _ready(fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    waiter = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    add(fd, wake)
    try:
        await waiter
    finally:
        remove(fd)
