"""What has come from one side and has not been read yet: for the few bytes that are read in portions."""

import asyncio
from collections.abc import Callable

LIMIT = 1 << 16


class Inbox:
    """Holds LIMIT bytes more than somebody waits for, about; beyond that `hold` is called, and `go_on` when there is
    room again."""

    __slots__ = ("_buffer", "_failure", "_go_on", "_held", "_hold", "_waiting", "_wanted")

    def __init__(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        self._hold = hold
        self._go_on = go_on
        self._held = False
        self._buffer = bytearray()
        self._wanted = 0
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None

    def put(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= self._wanted:
            self._wake()
        if not self._held and len(self._buffer) > self._wanted + LIMIT:
            self._held = True
            self._hold()

    def fail(self, failure: Exception) -> None:
        """No more will come. Whoever waits, or reads more than there is, gets `failure`; the first one counts."""
        self._failure = self._failure or failure
        self._wake()

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes. Raises what `fail` was told."""
        while len(self._buffer) < count:
            if self._failure:
                raise self._failure
            self._wanted = count
            self._resume()
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
                self._wanted = 0
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def rest(self) -> bytes:
        """All that is here, for whoever takes the side over: nobody reads in portions any more."""
        data, self._buffer = bytes(self._buffer), bytearray()
        self._resume()
        return data

    @property
    def failure(self) -> Exception | None:
        return self._failure

    def _resume(self) -> None:
        if self._held and len(self._buffer) <= self._wanted + LIMIT:
            self._held = False
            self._go_on()

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)
