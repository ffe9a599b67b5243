"""Where an app of an instance is, and the way there."""

import asyncio
import hmac
from functools import partial
from hashlib import sha256
from typing import cast

from instances.providers.base import Endpoint
from instances.services import clouds

from .database import in_database
from .handshake import HandshakeFailed, ServerInit, drive, towards_instance
from .inbox import Inbox
from .lines import unverified
from .splice import Splice
from .tickets import Admission

DIAL = 5.0


async def endpoint_of(admission: Admission) -> Endpoint:
    """Ask the instance's cloud. Raises ProviderError."""
    return await in_database(lambda: clouds.provider_for(admission.cloud).endpoint(admission.key, admission.app))


class Upstream(asyncio.Protocol):
    """A desktop's byte stream. Reads in portions until it is spliced; then bytes go where they come from."""

    def __init__(self) -> None:
        self.inbox = Inbox(self.hold, self.go_on)
        self._transport: asyncio.Transport
        self._splice: Splice | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    async def send(self, data: bytes) -> None:
        """Returns when there is room for more. Raises OSError when there is nobody any more."""
        if self._transport.is_closing():
            raise ConnectionResetError("the instance has closed the connection")
        self._transport.write(data)
        await self._writable.wait()

    async def secure(self, certificate: str) -> None:
        """TLS from here on, with whoever has the certificate of that SHA-256 and with nobody else."""
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(self._transport, self, unverified())
        assert secured, "a transport that is open"
        self._transport = secured
        shown = secured.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(sha256(shown).hexdigest(), certificate):
            raise HandshakeFailed("another machine than the instance's answers: its certificate is not the one we know")

    def join(self, splice: Splice) -> None:
        """Everything that has come and comes goes to `splice`. Raises what ended the connection before."""
        self._splice = splice
        if data := self.inbox.rest():
            splice.from_instance(data)
        if self.inbox.failure:
            raise self.inbox.failure

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def hold(self) -> None:
        self._transport.pause_reading()

    def go_on(self) -> None:
        self._transport.resume_reading()

    def abort(self) -> None:
        self._splice = None
        self._transport.abort()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        if self._splice:
            self._splice.from_instance(data)
        else:
            self.inbox.put(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        self.inbox.fail(error or EOFError("the instance has closed the connection"))
        if self._splice:
            self._splice.instance_left()

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._splice:
            self._splice.hold_browser()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._splice:
            self._splice.let_browser_go_on()


async def dial(endpoint: Endpoint) -> Upstream:
    """A byte stream to `endpoint`. Raises OSError or TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DIAL):
        if endpoint.path:
            return (await loop.create_unix_connection(Upstream, endpoint.path))[1]
        return (await loop.create_connection(Upstream, endpoint.host, endpoint.port))[1]


async def shake_hands(upstream: Upstream, endpoint: Endpoint) -> ServerInit:
    """Prove ourselves to the desktop at the other end. Raises HandshakeFailed, OSError, EOFError."""
    return await drive(
        towards_instance(endpoint.secret, tls=bool(endpoint.certificate)),
        read=upstream.inbox.exactly,
        send=upstream.send,
        secure=partial(upstream.secure, endpoint.certificate),
    )
