"""The browser's end of a desktop: bytes in and out of a WebSocket, without a message, a task or a queue for each."""

import asyncio

from .endings import LEFT, Ending
from .endings import LOST as TOLD
from .frames import BadFrame, Control, Frames, head
from .inbox import Inbox
from .splice import Splice

EXTENSION = "visa.wire"
"""The name under which the server's protocol offers one: see `protocols`."""
LOST = 1006
"""RFC 6455's code for a connection that was closed without a word."""


class Gone(Exception):
    """The browser has left; the code is that of its close frame, or of the server's own going away."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.ending = {1000: LEFT, 1001: LEFT, 1005: LEFT, 1012: TOLD}.get(code, Ending(code, "connection lost"))


class Wire:
    """Reads in portions until it is spliced; then every byte goes to the Splice in the transport's own callback."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.inbox = Inbox(transport.pause_reading, transport.resume_reading)
        self._transport = transport
        self._frames = Frames()
        self._splice: Splice | None = None
        self._full = False
        self._closed = False

    def join(self, splice: Splice) -> None:
        """Everything that has come and comes goes to `splice`. Raises what ended the connection before."""
        if self.inbox.failure:
            raise self.inbox.failure
        self._splice = splice
        if self._full:
            splice.hold_instance()
        if data := self.inbox.rest():
            splice.from_browser(data)

    def write(self, data: bytes) -> None:
        """One frame to the browser."""
        self._transport.writelines((head(len(data)), data))

    async def send(self, data: bytes) -> None:
        self.write(data)

    def hold(self) -> None:
        self._transport.pause_reading()

    def go_on(self) -> None:
        self._transport.resume_reading()

    def close(self) -> None:
        """Whatever still comes is not for anybody, except the answer to a close frame."""
        self._closed = True
        self._splice = None
        self.go_on()

    # What the server's protocol tells.

    def feed(self, data: bytes) -> bytes:
        """Take in what has come. Returns what begins with a close frame, if one did. Raises BadFrame."""
        if self._frames.closing:
            return data
        payload = self._frames.feed(data)
        if payload and not self._closed:
            if self._splice:
                self._splice.from_browser(payload)
            else:
                self.inbox.put(payload)
        return self._frames.closing

    def controls(self) -> list[Control]:
        """The pings and pongs since the last time."""
        if not self._frames.controls:
            return self._frames.controls
        controls, self._frames.controls = self._frames.controls, []
        return controls

    def pause(self) -> None:
        self._full = True
        if self._splice:
            self._splice.hold_instance()

    def resume(self) -> None:
        self._full = False
        if self._splice:
            self._splice.let_instance_go_on()

    def leave(self, code: int) -> None:
        """The browser has closed, or is being sent away."""
        self._end(Gone(code))

    def fail(self, error: BadFrame) -> None:
        self._closed = True
        self._end(error)

    def _end(self, error: Exception) -> None:
        self.inbox.fail(error)
        if self._splice:
            self._splice.fail(error)
