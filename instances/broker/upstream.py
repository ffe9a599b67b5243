"""Where an app of an instance is, and the way there."""

import asyncio
import hmac
import ssl
from hashlib import sha256

from instances.providers.base import Endpoint
from instances.services import clouds

from .database import in_database
from .handshake import HandshakeFailed, ServerInit, drive, towards_instance
from .tickets import Admission

DIAL = 5.0
BUFFER = 1 << 16


async def endpoint_of(admission: Admission) -> Endpoint:
    """Ask the instance's cloud. Raises ProviderError."""
    return await in_database(lambda: clouds.provider_for(admission.cloud).endpoint(admission.key, admission.app))


async def dial(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A byte stream to `endpoint`, that reads ahead at most twice BUFFER bytes. Raises OSError or TimeoutError."""
    async with asyncio.timeout(DIAL):
        if endpoint.path:
            return await asyncio.open_unix_connection(endpoint.path, limit=BUFFER)
        return await asyncio.open_connection(endpoint.host, endpoint.port, limit=BUFFER)


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, endpoint: Endpoint) -> ServerInit:
    """Prove ourselves to the desktop at the other end. Raises HandshakeFailed, OSError, IncompleteReadError."""

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    async def secure() -> None:
        await writer.start_tls(_unverified())
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(sha256(shown).hexdigest(), endpoint.certificate):
            raise HandshakeFailed("another machine than the instance's answers: its certificate is not the one we know")

    steps = towards_instance(endpoint.secret, tls=bool(endpoint.certificate))
    return await drive(steps, read=reader.readexactly, send=send, secure=secure)


def _unverified() -> ssl.SSLContext:
    """Takes any certificate: ours are self-signed, and compared with the one that is expected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
