"""One system call for the head and the body of a short answer, where the server makes one for each."""

import asyncio

from .pour import Poured

SINK = "visa.sink"
"""The name under which an application finds the Corked that its answer goes to."""
MERGED = 1 << 16
"""Up to here it is cheaper to copy the two together than to write them as two."""


class Corked:
    """A transport on which an answer's head waits for its body until this turn of the loop is over, and no longer."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        if isinstance(data, Poured):  # it has left already
            return
        held = self._held
        if held:
            self._held = b""
            if len(data) < MERGED:
                self.transport.write(held + data)
            else:
                self.transport.writelines((held, data))
        elif data.startswith(b"HTTP/1."):
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self.transport.write(data)

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self.transport.write(held)

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def abort(self) -> None:
        self.transport.abort()
