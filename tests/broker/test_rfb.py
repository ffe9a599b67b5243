"""The filter of RFB client messages: whatever the framing, only what the role allows comes out."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.broker.rfb import EXTENDED_MOUSE_BUTTONS, Area, Filter, SizeRequest, Violation

u8, u16, u32 = st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1)
CLIPBOARD_LIMIT = 40


def encodings(*numbers: int) -> bytes:
    return struct.pack(">BxH", 2, len(numbers)) + b"".join(struct.pack(">i", n) for n in numbers)


def key(sym: int = 0x61) -> bytes:
    return struct.pack(">BBxxI", 4, 1, sym)


def pointer(mask: int = 1) -> bytes:
    return struct.pack(">BBHH", 5, mask, 10, 20)


def clipboard(text: bytes) -> bytes:
    return struct.pack(">Bxxxi", 6, len(text)) + text


def desktop_size(*screens: tuple[int, int, int, int]) -> bytes:
    body = b"".join(struct.pack(">IHHHHI", i, *screen, 0) for i, screen in enumerate(screens))
    return struct.pack(">BxHHBx", 251, 3840, 1080, len(screens)) + body


UPDATE = struct.pack(">BBHHHH", 3, 1, 0, 0, 800, 600)
FENCE = struct.pack(">BxxxIB", 248, 1, 3) + b"abc"

passive = st.one_of(
    st.binary(min_size=19, max_size=19).map(lambda body: b"\0" + body),
    st.lists(st.integers(-(2**31), 2**31 - 1).filter(lambda n: n != EXTENDED_MOUSE_BUTTONS), max_size=9).map(
        lambda numbers: encodings(*numbers)
    ),
    st.binary(min_size=9, max_size=9).map(lambda body: b"\3" + body),
    st.binary(min_size=9, max_size=9).map(lambda body: b"\x96" + body),
    st.tuples(u32, st.binary(max_size=64)).map(lambda f: struct.pack(">BxxxIB", 248, f[0], len(f[1])) + f[1]),
)
active = st.one_of(
    st.binary(min_size=7, max_size=7).map(lambda body: b"\4" + body),
    st.binary(min_size=5, max_size=5).map(lambda body: b"\5" + body),
    st.binary(max_size=CLIPBOARD_LIMIT).map(clipboard),
    st.binary(min_size=4, max_size=CLIPBOARD_LIMIT).map(lambda body: struct.pack(">Bxxxi", 6, -len(body)) + body),
    st.lists(st.tuples(u16, u16, u16, u16), max_size=4).map(lambda screens: desktop_size(*screens)),
    st.tuples(u16, u32, u32).map(lambda k: struct.pack(">BBHII", 255, 0, *k)),
)
too_long = st.binary(min_size=CLIPBOARD_LIMIT + 1, max_size=200).map(clipboard)
conversation = st.lists(st.one_of(passive, active, too_long), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(at)]


def fed(judge: Filter, parts: list[bytes]) -> bytes:
    return b"".join(judge.feed(part) for part in parts)


def understands(messages: list[bytes]) -> bool:
    """Whether the last word about encodings was that sizes are understood."""
    said = [m for m in messages if m[0] == 2]
    return bool(said) and struct.pack(">i", -308) in [said[-1][i : i + 4] for i in range(4, len(said[-1]), 4)]


@given(conversation, st.lists(st.integers(0, 5000), max_size=40), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_split_of_any_conversation_lets_the_same_through(
    messages: list[bytes], cuts: list[int], watching: bool
) -> None:
    judge = Filter(watching=watching, clipboard_limit=CLIPBOARD_LIMIT)
    allowed = {0, 2, 3, 150, 248} | (set() if watching else {4, 5, 6, 255})
    expected = [m for m in messages if m[0] in allowed and not (m[0] == 6 and len(m) - 8 > CLIPBOARD_LIMIT)]
    taken = [] if watching else [m for at, m in enumerate(messages) if m[0] == 251 and understands(messages[:at])]
    assert fed(judge, pieces(b"".join(messages), cuts)) == b"".join(expected)
    assert judge.dropped == len(messages) - len(expected) - len(taken)
    assert (judge.size_request.raw if judge.size_request else None) == (taken[-1] if taken else None)
    assert judge.inputs == sum(m[0] in {4, 5, 6, 255} for m in expected)
    assert judge.at_boundary


@given(st.lists(st.binary(max_size=300), max_size=12))
@settings(max_examples=400, deadline=None)
def test_whatever_a_watcher_sends_only_whole_harmless_messages_come_out(parts: list[bytes]) -> None:
    judge, out = Filter(watching=True, clipboard_limit=CLIPBOARD_LIMIT), b""
    try:
        for part in parts:
            out += judge.feed(part)
            assert len(judge._buffer) <= 4 + 4 * 256
    except Violation:
        pass
    again = Filter(watching=True)
    assert again.feed(out) == out
    assert again.at_boundary
    assert again.dropped == 0


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=30), st.booleans())
@settings(max_examples=300, deadline=None)
def test_noise_is_judged_alike_however_it_is_framed(data: bytes, cuts: list[int], watching: bool) -> None:
    def verdict(parts: list[bytes]) -> tuple[bytes, bool]:
        judge, out = Filter(watching=watching), b""
        try:
            for part in parts:
                out += judge.feed(part)
        except Violation:
            return b"", True
        return out, False

    assert verdict([data]) == verdict(pieces(data, cuts)) == verdict([bytes([b]) for b in data])


@pytest.mark.parametrize("kind", sorted(set(range(256)) - {0, 2, 3, 4, 5, 6, 150, 248, 251, 255}))
def test_an_unknown_message_is_a_violation(kind: int) -> None:
    for watching in (True, False):
        with pytest.raises(Violation):
            Filter(watching=watching).feed(UPDATE + bytes([kind]))


@pytest.mark.parametrize(
    "message",
    [
        struct.pack(">BB", 255, 1),
        struct.pack(">BxH", 2, 257),
        struct.pack(">BxxxIB", 248, 0, 65),
        b"\xfb" + bytes(5) + b"\x11\0",
    ],
    ids=["a QEMU sub-message", "too many encodings", "a long fence", "too many screens"],
)
def test_a_message_beyond_its_bounds_is_a_violation(message: bytes) -> None:
    with pytest.raises(Violation):
        Filter(watching=False).feed(message)


def test_a_huge_clipboard_passes_by_without_being_kept() -> None:
    judge = Filter(watching=False, clipboard_limit=1000)
    assert judge.feed(struct.pack(">Bxxxi", 6, 50_000_000)) == b""
    for _ in range(500):
        assert judge.feed(bytes(100_000)) == b""
        assert len(judge._buffer) == 0
    assert judge.feed(key()) == key()
    assert (judge.dropped, judge.inputs) == (1, 1)


def test_a_clipboard_that_arrives_byte_by_byte_is_kept_up_to_its_limit() -> None:
    judge, message = Filter(watching=False), clipboard(b"x" * 5000)
    assert fed(judge, [message[i : i + 1] for i in range(len(message))]) == message


def test_the_ambiguous_pointer_encoding_is_not_offered_to_the_server() -> None:
    for judge in (Filter(watching=True, extended_pointer=True), Filter(watching=False)):
        assert judge.feed(encodings(7, EXTENDED_MOUSE_BUTTONS, -308)) == encodings(7, -308)


def test_a_long_pointer_event_is_one_message_once_both_sides_know_it() -> None:
    judge = Filter(watching=False, extended_pointer=True)
    long = pointer(0x81) + b"\1"
    assert judge.feed(encodings(EXTENDED_MOUSE_BUTTONS)) == encodings(EXTENDED_MOUSE_BUTTONS)
    assert fed(judge, [long[:6], long[6:] + key(), pointer(1), long]) == long + key() + pointer(1) + long
    judge.feed(encodings(7))
    assert judge.feed(pointer(0x81) + key()) == pointer(0x81) + key()


def test_a_role_changes_between_two_messages() -> None:
    judge = Filter(watching=False)
    assert judge.feed(key() + key()[:3]) == key()
    judge.watching = True
    assert judge.feed(key()[3:] + UPDATE) == UPDATE
    judge.watching = False
    assert judge.feed(pointer()) == pointer()


def test_a_size_from_who_does_not_understand_sizes_is_dropped_because_it_crashes_servers() -> None:
    judge = Filter(watching=False)
    assert judge.feed(desktop_size((0, 0, 640, 480))) == b""
    assert judge.feed(encodings(0) + desktop_size((0, 0, 640, 480))) == encodings(0)
    assert (judge.dropped, judge.size_request) == (2, None)


def test_a_wish_for_another_size_is_taken_out_and_reported() -> None:
    judge = Filter(watching=False)
    wanted = desktop_size((0, 0, 1920, 1080), (1920, 0, 1920, 1080))
    assert judge.feed(encodings(-308) + wanted + FENCE) == encodings(-308) + FENCE
    assert judge.size_request == SizeRequest(3840, 1080, (Area(0, 0, 1920, 1080), Area(1920, 0, 1920, 1080)))
    assert judge.size_request.raw == wanted
    watching = Filter(watching=True)
    assert watching.feed(desktop_size((0, 0, 640, 480))) == b""
    assert watching.size_request is None


RECTANGLE = st.tuples(*(st.integers(0, 65535) for _ in range(4)))
AREA = st.builds(Area, st.integers(0, 8000), st.integers(0, 8000), st.integers(1, 8000), st.integers(1, 8000))


@given(AREA, RECTANGLE, st.sampled_from([3, 150]), st.integers(1, 9))
def test_a_window_of_one_screen_asks_for_no_pixel_of_another(
    area: Area, asked: tuple[int, ...], kind: int, cut: int
) -> None:
    judge = Filter(watching=True, part=True)
    judge.area = area
    message = struct.pack(">BB4H", kind, 1, *asked)
    flag, x, y, width, height = struct.unpack(">xB4H", fed(judge, [message[:cut], message[cut:]]))
    assert flag == 1 and width > 0 and height > 0
    assert area.x <= x and x + width <= area.x + area.width
    assert area.y <= y and y + height <= area.y + area.height
    wanted_x, wanted_y, wanted_width, wanted_height = asked
    if area.x <= wanted_x and wanted_x + wanted_width <= area.x + area.width and wanted_width:
        assert (x, width) == (wanted_x, wanted_width), "what lies within stays as it was"
    if area.y <= wanted_y and wanted_y + wanted_height <= area.y + area.height and wanted_height:
        assert (y, height) == (wanted_y, wanted_height)


@given(AREA, st.integers(0, 65535), st.integers(0, 65535), st.booleans())
def test_a_window_of_one_screen_points_at_no_other(area: Area, x: int, y: int, long: bool) -> None:
    judge = Filter(watching=False, part=True, extended_pointer=True)
    judge.area = area
    if long:
        judge.feed(encodings(EXTENDED_MOUSE_BUTTONS))
    message = struct.pack(">BBHH", 5, 0x81 if long else 1, x, y) + (b"\1" if long else b"")
    passed = judge.feed(message)
    assert len(passed) == len(message) and passed[:2] == message[:2] and passed[6:] == message[6:]
    at_x, at_y = struct.unpack(">HH", passed[2:6])
    assert area.x <= at_x < area.x + area.width and area.y <= at_y < area.y + area.height


def test_a_window_of_one_screen_has_nothing_copied_from_another() -> None:
    judge = Filter(watching=False, part=True)
    assert judge.feed(encodings(1, 7, -308)) == encodings(7, -308)
