"""Kept HTTP/1.1 connections to a web app: for what asks without a body, which is nearly all that a page asks for.

What a general client does for each request (a session, a URL, two header maps, timers, tracing) took longer than
passing the answer on. Uploads and sockets still go through that client.
"""

import asyncio
import hmac
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import cast

import httptools

from instances.providers.base import Endpoint

from .cork import Corked
from .headers import Header
from .pour import WORTH_IT, can_pour, pour

DIAL = 10.0
MAX_HEAD = 1 << 16
AHEAD = 1 << 18
"""Bytes of an answer that are held for a browser that takes them slowly."""
AT_ONCE = 128
KEPT = 15.0
"""Seconds for which an idle connection is trusted: servers close theirs later than that."""


class Interrupted(ConnectionError):
    """The instance ended the connection in the middle of an answer, or spoke no HTTP. `begun`: it had said a word."""

    def __init__(self, what: str, *, begun: bool) -> None:
        super().__init__(what)
        self.begun = begun


class Line(asyncio.Protocol):
    """One connection; one request at a time. Reads no further ahead than AHEAD bytes."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.reusable = True
        self.status = 0
        self.headers: list[Header] = []
        self.complete = False
        self._lost = False
        self._bodiless = False
        self._asked = False

    def ask(self, head: bytes, *, bodiless: bool) -> None:
        """Send a request. `bodiless`: of a HEAD, whose answer has a length and no body."""
        self.status, self.headers, self.complete = 0, [], False
        self._pieces: deque[bytes] = deque()
        self._held = self._head = 0
        self._paused = False
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Interrupted | None = None
        self._framed = self._head_over = False
        self._bodiless = bodiless
        self._asked = True
        self._left = self._length = 0
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(head)

    async def head(self) -> None:
        """Until `status` and `headers` are those of the answer. Raises Interrupted."""
        while not self._head_over:
            await self._news()

    async def some(self) -> bytes:
        """The next bytes of the body; none when it is over. Raises Interrupted when it is not complete."""
        while not self._pieces:
            if self.complete:
                return b""
            await self._news()
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def pour_into(self, sink: Corked, moved: Callable[[int], None]) -> bool:
        """Move what is left of a long body without looking at it; False where that is not possible now.

        Raises Interrupted when the instance ends before it is complete.
        """
        if self._left < WORTH_IT or self._pieces:
            return False
        sink.flush()
        if not can_pour(self._transport, sink.transport):
            return False
        if not self._paused:
            self._transport.pause_reading()
        self._paused = False
        left, self._left = self._left, 0
        if not await pour(self._transport, sink.transport, left, moved):
            raise Interrupted("the instance closed the connection", begun=True)
        self.on_message_complete()
        self._transport.resume_reading()
        return True

    def close(self) -> None:
        self.reusable = False
        self._transport.abort()

    @property
    def usable(self) -> bool:
        """For another request."""
        return self.reusable and not self._lost and not self._transport.is_closing()

    async def _news(self) -> None:
        if self._failure:
            raise self._failure
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def _fail(self, what: str) -> None:
        self.reusable = False
        if self._asked and not self.complete:
            self._failure = self._failure or Interrupted(what, begun=bool(self._head))
            self._wake()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        if not self._asked or self.complete:  # nobody asked for this
            self.close()
            return
        if self._left:  # in the middle of a body whose length is known there is nothing to parse
            self._take(data)
        else:
            self._parse(data)
        if self._held > AHEAD and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _take(self, data: bytes) -> None:
        if len(data) > self._left:  # it says more than it was asked
            self.reusable = False
            data = data[: self._left]
        self._left -= len(data)
        self.on_body(data)
        if not self._left:
            self.on_message_complete()

    def _parse(self, data: bytes) -> None:
        if not self._head_over:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("an upgrade that nobody asked for")
        except httptools.HttpParserError as error:
            self._fail(f"no HTTP: {error}")
        if not self._head_over and self._head > MAX_HEAD:
            self._fail("an endless head")
        if self._failure:
            self._transport.abort()
        elif self._head_over and not self.complete and self._length:
            self._left = self._length - self._held

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._asked and self._head_over and not self._framed and error is None:
            self.complete = True  # it said no length: its end is the end
            self.reusable = False
            self._wake()
        self._fail("the instance closed the connection")

    # What the parser tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:  # it says more than it was asked
            self.reusable = False
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = []  # "early hints" and the like; the answer follows
            return
        said = dict(self.headers)
        self._framed = b"content-length" in said or b"transfer-encoding" in said
        if b"transfer-encoding" not in said:
            self._length = int(said.get(b"content-length", 0))
        self._head_over = True
        if self._bodiless:
            self.complete = True
            self.reusable = False  # the parser waits for a body

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._pieces.append(data)
            self._held += len(data)

    def on_message_complete(self) -> None:
        if self._head_over:
            self.complete = True
            self.reusable = self.reusable and self._parser.should_keep_alive()


class Lines:
    """Those to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._idle: list[Line] = []
        self._places = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    async def ask(self, method: str, target: bytes, headers: Iterable[Header]) -> Line:
        """A line with the answer's head. Whoever gets it gives it back. Raises OSError or TimeoutError.

        A kept line that ends before it says anything was closed by the server meanwhile: then a new one is asked.
        """
        fields = [part for name, value in headers for part in (name, b": ", value, b"\r\n")]
        request = b"".join([method.encode(), b" ", target, b" HTTP/1.1\r\n", *fields, b"\r\n"])
        await self._places.acquire()
        line = None
        try:
            while line := self._kept():
                try:
                    line.ask(request, bodiless=method == "HEAD")
                    await line.head()
                    return line
                except Interrupted as interrupted:
                    if interrupted.begun:
                        raise
            line = await self._dial()
            line.ask(request, bodiless=method == "HEAD")
            await line.head()
            return line
        except BaseException:
            self._places.release()
            if line:
                line.close()
            raise

    def give_back(self, line: Line) -> None:
        self._places.release()
        if line.complete and line.usable and not self._closed:
            line.idle_since = asyncio.get_running_loop().time()
            self._idle.append(line)
        else:
            line.close()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> Line | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            line = self._idle.pop()
            if line.usable and line.idle_since > now - KEPT:
                return line
            line.close()
        return None

    async def _dial(self) -> Line:
        loop = asyncio.get_running_loop()
        where = self._endpoint
        async with asyncio.timeout(DIAL):
            if where.path:
                return (await loop.create_unix_connection(Line, where.path))[1]
            context = unverified() if where.certificate else None
            transport, line = await loop.create_connection(Line, where.host, where.port, ssl=context)
        if where.certificate:
            shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
            if not hmac.compare_digest(sha256(shown).hexdigest(), where.certificate):
                line.close()
                raise ConnectionError("another machine than the instance's answers")
        return line


def unverified() -> ssl.SSLContext:
    """Takes any certificate: ours are self-signed, and compared with the one that is expected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
