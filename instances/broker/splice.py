"""Two ends of a desktop's connection, joined: bytes cross in the callbacks of the transports that they came from.

No task, no queue and no message lies between them; whoever takes too little holds the other side back, so that what is
under way is bounded by two transports' buffers. Decision record 3 has the measurements.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from .censor import Censor, Unreadable
from .endings import GONE, Ending
from .rfb import Filter, SizeRequest, Violation


class End(Protocol):
    """What a splice asks of either side."""

    def write(self, data: bytes) -> None: ...

    def hold(self) -> None:
        """Read nothing more for now."""

    def go_on(self) -> None:
        """Read again."""


class Seat(Protocol):
    """What is counted, for the row of the connection."""

    bytes_in: int
    bytes_out: int

    def touch(self) -> None:
        """Its person did something just now."""


class Splice:
    """Browser and instance. `over` is done when one of them has ended, or fails with what was wrong.

    What `judge` takes out as a size request goes to `resize`. With a `censor`, the desktop's clipboard stays inside.
    """

    def __init__(
        self,
        seat: Seat,
        judge: Filter,
        *,
        browser: End,
        instance: End,
        resize: Callable[[SizeRequest], None],
        censor: Censor | None = None,
    ) -> None:
        self.over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._seat = seat
        self._judge = judge
        self._browser = browser
        self._instance = instance
        self._resize = resize
        self._censor = censor
        self._inputs = judge.inputs

    def from_instance(self, data: bytes) -> None:
        if self.over.done():
            return
        self._seat.bytes_out += len(data)
        if self._censor:
            try:
                data = self._censor.feed(data)
            except Unreadable as error:
                self.fail(error)
                return
            if not data:
                return
        self._browser.write(data)

    def from_browser(self, data: bytes) -> None:
        if self.over.done():
            return
        judge = self._judge
        self._seat.bytes_in += len(data)
        try:
            passed = judge.feed(data)
        except Violation as violation:
            self.fail(violation)
            return
        if passed:
            self._instance.write(passed)
        if judge.inputs != self._inputs:
            self._inputs = judge.inputs
            self._seat.touch()
        if size := judge.size_request:
            judge.size_request = None
            self._resize(size)

    def inject(self, data: bytes) -> None:
        """Say `data`, whole messages, to the desktop: what a browser says arrives there in whole messages too."""
        if not self.over.done():
            self._instance.write(data)

    def instance_left(self) -> None:
        if not self.over.done():
            self.over.set_result(GONE)

    def fail(self, error: Exception) -> None:
        if not self.over.done():
            self.over.set_exception(error)

    def close(self) -> None:
        """Nothing crosses any more."""
        if not self.over.cancel() and not self.over.cancelled():
            self.over.exception()  # whoever closes does not wait for it

    def hold_instance(self) -> None:
        """The browser takes nothing more for now."""
        self._instance.hold()

    def let_instance_go_on(self) -> None:
        self._instance.go_on()

    def hold_browser(self) -> None:
        """The instance takes nothing more for now."""
        self._browser.hold()

    def let_browser_go_on(self) -> None:
        self._browser.go_on()
