"""Both halves of RFB's opening: the broker proves itself to the instance, and asks nothing of the browser.

Each half is a generator that does no I/O: it yields `Send(bytes)` or `Read(count)`, is sent what was read, and returns
its result or raises HandshakeFailed. `drive` runs one over coroutines. Sources: RFC 6143, section 7, and for VeNCrypt
the community's description of the RFB protocol (rfbproto).
"""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

NONE, VNC_AUTH, VENCRYPT = 1, 2, 19
X509_VNC = (261).to_bytes(4, "big")
VERSION = b"RFB 003.008\n"
MAX_NAME = 4096
MAX_REASON = 1024


class HandshakeFailed(Exception):
    """The other side does not speak RFB as we do, or refused us."""


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    count: int


@dataclass(frozen=True, slots=True)
class Secure:
    """From here on inside TLS, once it is certain with whom."""


@dataclass(frozen=True, slots=True)
class ServerInit:
    """What the desktop is: `raw` is the message as it came."""

    raw: bytes
    width: int
    height: int


Result = TypeVar("Result")
Steps = Generator[Send | Read | Secure, bytes, Result]


async def drive(
    steps: Steps[Result],
    *,
    read: Callable[[int], Awaitable[bytes]],
    send: Callable[[bytes], Awaitable[None]],
    secure: Callable[[], Awaitable[None]] | None = None,
) -> Result:
    """Run `steps`; `read` returns exactly as many bytes as it is asked for, or raises."""
    answer = b""
    try:
        while True:
            step = steps.send(answer) if answer else next(steps)
            if isinstance(step, Send):
                await send(step.data)
                answer = b""
            elif isinstance(step, Secure):
                if secure is None:
                    raise HandshakeFailed("there is no certificate to be certain by")
                await secure()
                answer = b""
            else:
                answer = await read(step.count)
    except StopIteration as stop:
        result: Result = stop.value
        return result


def towards_instance(secret: str, *, tls: bool = False) -> Steps[ServerInit]:
    """Be a client of the desktop, among others: always shared, so that nobody is thrown out.

    With `tls` nothing but VeNCrypt's X509Vnc will do: who answers in the instance's place is told nothing.
    """
    greeting = yield Read(12)
    if not greeting.startswith(b"RFB ") or greeting[7:8] != b"." or greeting < b"RFB 003.007\n":
        raise HandshakeFailed("the instance does not speak RFB 3.7 or 3.8")
    version = min(greeting, VERSION)
    yield Send(version)
    count = (yield Read(1))[0]
    if not count:
        raise HandshakeFailed(f"the instance refused: {yield from _reason()}")
    offered = yield Read(count)
    if tls:
        yield from _vencrypt(offered)
        yield from _answer(secret)
    elif secret and VNC_AUTH in offered:
        yield Send(bytes([VNC_AUTH]))
        yield from _answer(secret)
    elif NONE in offered:
        yield Send(bytes([NONE]))
    else:
        raise HandshakeFailed(f"the instance offers only the security types {list(offered)}")
    if version >= VERSION or tls or (secret and VNC_AUTH in offered):
        result = int.from_bytes((yield Read(4)), "big")
        if result:
            because = (yield from _reason()) if version >= VERSION else "no reason given"
            raise HandshakeFailed(f"the instance refused: {because}")
    yield Send(b"\1")
    fixed = yield Read(24)
    length = int.from_bytes(fixed[20:24], "big")
    if length > MAX_NAME:
        raise HandshakeFailed("the desktop's name is too long")
    name = (yield Read(length)) if length else b""
    return ServerInit(fixed + name, int.from_bytes(fixed[0:2], "big"), int.from_bytes(fixed[2:4], "big"))


def _vencrypt(offered: bytes) -> Steps[None]:
    if VENCRYPT not in offered:
        raise HandshakeFailed(f"the instance offers no TLS, only the security types {list(offered)}")
    yield Send(bytes([VENCRYPT]))
    if (yield Read(2)) < b"\0\2":
        raise HandshakeFailed("the instance speaks only an old VeNCrypt")
    yield Send(b"\0\2")
    if (yield Read(1)) != b"\0":
        raise HandshakeFailed("the instance does not speak VeNCrypt 0.2")
    count = (yield Read(1))[0]
    kinds = (yield Read(4 * count)) if count else b""
    if X509_VNC not in [kinds[at : at + 4] for at in range(0, len(kinds), 4)]:
        raise HandshakeFailed("the instance offers TLS, but not with a certificate and a password")
    yield Send(X509_VNC)
    if (yield Read(1)) != b"\1":
        raise HandshakeFailed("the instance does not begin TLS")
    yield Secure()


def _answer(secret: str) -> Steps[None]:
    challenge = yield Read(16)
    yield Send(vnc_response(challenge, secret))


def towards_browser(init: ServerInit) -> Steps[None]:
    """Be the server: offer the security type None, then the instance's own ServerInit."""
    yield Send(VERSION)
    version = yield Read(12)
    if version not in (VERSION, b"RFB 003.007\n"):
        raise HandshakeFailed("the client does not speak RFB 3.7 or 3.8")
    yield Send(bytes([1, NONE]))
    if (yield Read(1)) != bytes([NONE]):
        raise HandshakeFailed("the client chose a security type that was not offered")
    if version == VERSION:
        yield Send(bytes(4))
    yield Read(1)  # whether to share: see towards_instance
    yield Send(init.raw)


def vnc_response(challenge: bytes, secret: str) -> bytes:
    """The answer to VNC Authentication's 16 bytes: DES, with each byte of the password's first eight mirrored."""
    password = secret.encode()[:8].ljust(8, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password)
    encryptor = Cipher(TripleDES(mirrored * 3), modes.ECB()).encryptor()  # noqa: S305  three times the same key is DES
    return encryptor.update(challenge) + encryptor.finalize()


def _reason() -> Steps[str]:
    length = int.from_bytes((yield Read(4)), "big")
    if not length:
        return "no reason given"
    return (yield Read(min(length, MAX_REASON))).decode("latin-1")
