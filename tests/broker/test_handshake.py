"""RFB's opening, without I/O: against the instance, against the browser, and against each other."""

import struct
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.broker.handshake import (
    HandshakeFailed,
    Read,
    Secure,
    Send,
    ServerInit,
    Steps,
    drive,
    towards_browser,
    towards_instance,
    vnc_response,
)

INIT = struct.pack(">HH16xI", 1920, 1080, 4) + b"desk"


async def play(steps: Steps[ServerInit] | Steps[None], heard: bytes) -> tuple[object, bytes]:
    """The result, and all that was said; EOFError when it waits for more than it hears."""
    said = b""
    rest = heard

    async def read(count: int) -> bytes:
        nonlocal rest
        if len(rest) < count:
            raise EOFError
        data, rest = rest[:count], rest[count:]
        return data

    async def send(data: bytes) -> None:
        nonlocal said
        said += data

    async def secure() -> None:
        nonlocal said
        said += b"[tls]"

    return await drive(steps, read=read, send=send, secure=secure), said  # type: ignore[arg-type]


def test_the_vnc_response_is_that_of_the_rfc_s_des_with_mirrored_key_bits() -> None:
    """Checked against the well-known file that vncpasswd writes for `password`."""
    key = bytes([23, 82, 107, 6, 35, 78, 88, 7]).decode()
    assert vnc_response(b"password", key).hex() == "dbd83cfd727a1458"
    assert vnc_response(bytes(16), "12345678") == vnc_response(bytes(16), "12345678 and more")


async def test_none_is_chosen_when_there_is_no_secret() -> None:
    heard = b"RFB 003.008\n" + b"\2\2\1" + bytes(4) + INIT
    result, said = await play(towards_instance(""), heard)
    assert result == ServerInit(INIT, 1920, 1080)
    assert said == b"RFB 003.008\n\1\1"


async def test_a_challenge_is_answered_with_the_secret_and_never_with_the_secret_itself() -> None:
    heard = b"RFB 003.008\n" + b"\2\1\2" + bytes(range(16)) + bytes(4) + INIT
    _, said = await play(towards_instance("opensesame"), heard)
    assert said == b"RFB 003.008\n\2" + vnc_response(bytes(range(16)), "opensesame") + b"\1"
    assert b"opensesa" not in said


async def test_version_3_7_has_no_result_after_none() -> None:
    result, said = await play(towards_instance(""), b"RFB 003.007\n\1\1" + INIT)
    assert isinstance(result, ServerInit)
    assert said == b"RFB 003.007\n\1\1"


VENCRYPT = b"RFB 003.008\n" + b"\2\2\x13" + b"\0\2" + b"\0" + b"\2" + struct.pack(">II", 257, 261) + b"\1"


async def test_inside_tls_alone_is_a_challenge_answered_where_a_certificate_is_known() -> None:
    heard = VENCRYPT + bytes(range(16)) + bytes(4) + INIT
    result, said = await play(towards_instance("opensesame", tls=True), heard)
    assert result == ServerInit(INIT, 1920, 1080)
    chosen = b"RFB 003.008\n\x13" + b"\0\2" + struct.pack(">I", 261)
    assert said == chosen + b"[tls]" + vnc_response(bytes(range(16)), "opensesame") + b"\1"


@pytest.mark.parametrize(
    ("heard", "because"),
    [
        (b"RFB 003.008\n\2\1\2" + bytes(16), "offers no TLS"),
        (b"RFB 003.008\n\1\x13\0\1", "old VeNCrypt"),
        (b"RFB 003.008\n\1\x13\0\2\xff", "does not speak VeNCrypt"),
        (b"RFB 003.008\n\1\x13\0\2\0\1" + struct.pack(">I", 257), "not with a certificate"),
        (VENCRYPT[:-1] + b"\0", "does not begin TLS"),
    ],
)
async def test_nobody_talks_the_broker_out_of_tls(heard: bytes, because: str) -> None:
    with pytest.raises(HandshakeFailed, match=because):
        await play(towards_instance("opensesame", tls=True), heard)


@pytest.mark.parametrize(
    ("heard", "because"),
    [
        (b"HTTP/1.1 400", "does not speak"),
        (b"RFB 003.003\n", "does not speak"),
        (b"RFB 003.008\n\0" + struct.pack(">I", 8) + b"too many", "too many"),
        (b"RFB 003.008\n\1\2" + bytes(16), "only the security types"),
        (b"RFB 003.008\n\1\1" + struct.pack(">II", 1, 6) + b"denied", "denied"),
        (b"RFB 003.008\n\1\1" + bytes(4) + INIT[:20] + struct.pack(">I", 1 << 30), "name is too long"),
    ],
)
async def test_an_instance_that_says_something_else_is_refused(heard: bytes, because: str) -> None:
    with pytest.raises(HandshakeFailed, match=because):
        await play(towards_instance(""), heard)


@pytest.mark.parametrize("heard", [b"RFB 003.003\n\1\1", b"RFB 003.008\n\2", b"GET / HTTP/1.", b"RFB 003.008\n\0"])
async def test_a_browser_that_says_something_else_is_refused(heard: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        await play(towards_browser(ServerInit(INIT, 1, 1)), heard)


BEGINNINGS = [
    towards_instance,
    partial(towards_instance, tls=True),
    lambda _: towards_browser(ServerInit(INIT, 1, 1)),
]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_noise_never_crashes_a_handshake(begin: Callable[[str], Steps[object]], noise: bytes) -> None:
    steps, rest, answer = begin("secret"), noise, None
    try:
        while True:
            step = steps.send(answer)  # type: ignore[arg-type]
            if isinstance(step, Send | Secure):
                answer = None
                continue
            assert isinstance(step, Read)
            assert 0 < step.count <= 4096
            if len(rest) < step.count:
                return
            answer, rest = rest[: step.count], rest[step.count :]
    except (HandshakeFailed, StopIteration):
        pass
