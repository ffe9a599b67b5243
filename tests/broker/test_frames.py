"""WebSocket frames around a stream: the same bytes come out however they were framed and cut, and nothing is kept."""

import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.broker.frames import PING, PONG, BadFrame, Frames, head
from instances.broker.held import MOST, Held

from .test_rfb import pieces

KEY = b"\x5a\xc3\x0f\x96"


def frame(payload: bytes, *, opcode: int = 2, fin: bool = True, key: bytes = KEY) -> bytes:
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = b"\xfe" + struct.pack(">H", length)
    else:
        size = b"\xff" + struct.pack(">Q", length)
    return bytes([fin << 7 | opcode]) + size + key + masked


keys = st.binary(min_size=4, max_size=4)
payloads = st.one_of(st.binary(max_size=12), st.binary(min_size=120, max_size=400))
controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125), keys)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, bytes, list[tuple[int, bytes]]]:
    """What is on the wire, what it carries, and the pings and pongs in it."""
    wire, said, heard = b"", b"", []
    for _ in range(draw(st.integers(0, 5))):
        parts = draw(st.lists(st.tuples(payloads, keys), min_size=1, max_size=4))
        for number, (payload, key) in enumerate(parts):
            wire += frame(payload, opcode=0 if number else 2, fin=number == len(parts) - 1, key=key)
            said += payload
            for opcode, text, masking in draw(st.lists(controls, max_size=1)):
                wire += frame(text, opcode=opcode, key=masking)
                heard.append((opcode, text))
    return wire, said, heard


@given(conversations(), st.lists(st.integers(0, 5000), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_split_of_any_frames_carries_the_same_bytes(
    conversation: tuple[bytes, bytes, list[tuple[int, bytes]]], cuts: list[int]
) -> None:
    wire, said, heard = conversation
    frames, got = Frames(), b""
    for piece in pieces(wire, cuts):
        got += frames.feed(piece)
        assert len(frames._rest) < 14 + 125
    assert got == said
    assert [tuple(control) for control in frames.controls] == heard
    assert not frames.closing


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=30))
@settings(max_examples=400, deadline=None)
def test_noise_is_read_alike_however_it_is_cut(noise: bytes, cuts: list[int]) -> None:
    def reading(parts: list[bytes]) -> tuple[bytes, bool]:
        frames, got = Frames(), b""
        for at, part in enumerate(parts):
            try:
                got += frames.feed(part)
            except BadFrame:
                return b"", True
            if frames.closing:
                return got + frames.closing + b"".join(parts[at + 1 :]), False
        return got, False

    assert reading([noise]) == reading(pieces(noise, cuts))


@pytest.mark.parametrize(
    "wire",
    [
        b"\x82\x05hello",
        frame(b"text", opcode=1),
        frame(b"more", opcode=0),
        frame(b"begin", fin=False) + frame(b"begin again"),
        frame(b"ping", opcode=PING, fin=False),
        frame(b"x" * 126, opcode=PING),
        frame(b"", opcode=3),
        b"\xc2" + frame(b"compressed")[1:],
    ],
    ids=[
        "not masked",
        "text",
        "a continuation of nothing",
        "a message inside a message",
        "a ping in parts",
        "a long ping",
        "an unknown opcode",
        "a reserved bit",
    ],
)
def test_what_no_browser_sends_is_refused(wire: bytes) -> None:
    with pytest.raises(BadFrame):
        Frames().feed(wire)


def test_what_follows_a_close_frame_is_left_to_others() -> None:
    frames = Frames()
    closing = frame(struct.pack(">H", 1000), opcode=8)
    assert frames.feed(frame(b"last") + closing + b"more") == b"last"
    assert frames.closing == closing + b"more"


def test_a_frame_of_gigabytes_passes_by_without_being_kept() -> None:
    frames = Frames()
    frames.feed(b"\x82\xff" + struct.pack(">Q", 1 << 40) + KEY)
    for _ in range(100):
        assert len(frames.feed(bytes(100_001))) == 100_001
        assert sys.getsizeof(frames._rest) < 100


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_the_head_of_what_the_server_sends_tells_its_length(length: int) -> None:
    said = head(length)
    assert said[0] == 0x82
    told = said[1] if len(said) == 2 else int.from_bytes(said[2:], "big")
    assert told == length
    assert len(said) == (2 if length < 126 else 4 if length < 65536 else 10)


def key(down: int, sym: int = 0x61) -> bytes:
    return struct.pack(">BBxxI", 4, down, sym)


def qemu(down: int, code: int = 30) -> bytes:
    return struct.pack(">BBHII", 255, 0, down, 0x61, code)


def test_what_is_held_down_is_let_go_once() -> None:
    held = Held()
    for message in (key(1), key(1, 0xFFE1), key(0), qemu(1), struct.pack(">BBHH", 5, 1, 10, 20)):
        held.see(message)
    assert held.let_go() == key(0, 0xFFE1) + qemu(0) + struct.pack(">BBHH", 5, 0, 10, 20)
    assert held.let_go() == b""


def test_keys_without_end_are_not_remembered_without_end() -> None:
    held = Held()
    for sym in range(10 * MOST):
        held.see(key(1, sym))
    assert len(held.let_go()) == MOST * 8
