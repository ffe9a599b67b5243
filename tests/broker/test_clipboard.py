"""What may be copied in and out of a desktop, by proposal, enforced in the broker whatever either side does."""

import asyncio
import struct
import subprocess
from itertools import pairwise

import pytest
from django.conf import LazySettings
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from auth.models import AuditEvent
from instances.broker.censor import ENCODINGS, Censor, Unreadable
from instances.broker.database import in_database
from instances.broker.rfb import EXTENDED_CLIPBOARD, Filter, Violation
from instances.errors import Denied, Invalid
from instances.models import Instance
from instances.services.clipboard import Clipboard, allowed_in, set_clipboard
from tests.facility import Facility
from tests.pages.conftest import Browse, browse, server, signed_in, static_files  # noqa: F401
from tests.portal import until

from .test_desktop import ending, loop_of
from .world import Broker, Xvnc

u16 = st.integers(0, 0xFFFF)
data = st.binary(max_size=40)
LAST = struct.pack(">HHHHi", 0, 0, 0, 0, -224)


def rectangle(width: int, height: int, encoding: int, body: bytes) -> bytes:
    return struct.pack(">HHHHi", 0, 0, width, height, encoding) + body


def compact(body: bytes) -> bytes:
    length = len(body)
    return (bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])) + body


some = st.binary(min_size=12, max_size=300)
rectangles = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda s: rectangle(*s, 0, b"\3" * (4 * s[0] * s[1]))),
    st.just(rectangle(9, 9, 1, b"\3\3\3\3")),
    data.map(lambda body: rectangle(9, 9, 16, struct.pack(">I", len(body)) + body)),
    st.binary(min_size=3, max_size=3).map(lambda colour: rectangle(9, 9, 7, b"\x80" + colour)),
    some.map(lambda body: rectangle(9, 9, 7, b"\x90" + compact(body))),
    some.map(lambda body: rectangle(9, 9, 7, b"\x00" + compact(body))),
    st.just(rectangle(1, 2, 7, b"\x00" + b"\3" * 6)),
    some.map(lambda body: rectangle(9, 9, 7, b"\x40\x02" + compact(body))),
    some.map(lambda body: rectangle(9, 9, 7, b"\x40\x01\x01" + b"\3" * 6 + compact(body))),
    st.just(rectangle(9, 1, 7, b"\x40\x01\x01" + b"\3" * 6 + b"\3\3")),
    some.map(lambda body: rectangle(9, 9, 7, b"\x40\x01\x05" + b"\3" * 18 + compact(body))),
    st.just(rectangle(3, 2, -239, b"\3" * (24 + 2))),
    st.just(rectangle(800, 600, -223, b"")),
    st.just(rectangle(0, 0, -258, b"")),
    st.just(rectangle(0, 0, -261, b"\3")),
    data.map(lambda name: rectangle(0, 0, -307, struct.pack(">I", len(name)) + name)),
    st.integers(0, 3).map(lambda count: rectangle(8, 6, -308, bytes([count, 0, 0, 0]) + b"\3" * 16 * count)),
)
messages = st.one_of(
    st.lists(rectangles, max_size=4).map(lambda some: struct.pack(">BxH", 0, len(some)) + b"".join(some)),
    st.lists(rectangles, max_size=4).map(lambda some: struct.pack(">BxH", 0, 0xFFFF) + b"".join(some) + LAST),
    st.integers(0, 3).map(lambda count: struct.pack(">BxHH", 1, 0, count) + b"\3" * 6 * count),
    st.just(b"\2"),
    st.just(b"\x96"),
    data.map(lambda body: struct.pack(">BxxxIB", 248, 1, len(body)) + body),
)
clipboards = st.one_of(
    data.map(lambda text: struct.pack(">Bxxxi", 3, len(text)) + text),
    st.binary(min_size=4, max_size=40).map(lambda body: struct.pack(">Bxxxi", 3, -len(body)) + body),
)


@given(st.lists(st.one_of(messages, clipboards), max_size=10), st.lists(st.integers(0, 5000), max_size=40))
@settings(max_examples=500, deadline=None)
def test_everything_but_the_clipboard_passes_however_it_is_cut(said: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(said)
    at = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    censor, out = Censor(), b""
    for a, b in pairwise(at):
        out += censor.feed(wire[a:b])
        assert len(censor._head) < 16
    assert out == b"".join(message for message in said if message[0] != 3)
    assert censor.dropped == sum(message[0] == 3 for message in said)


ONE = struct.pack(">BxH", 0, 1)


@pytest.mark.parametrize(
    "wire",
    [b"\x07", ONE + rectangle(1, 1, 5, b""), ONE + rectangle(1, 1, 7, b"\xa0")],
    ids=["a message", "an encoding", "a compression"],
)
def test_what_is_not_known_is_not_let_through(wire: bytes) -> None:
    with pytest.raises(Unreadable):
        Censor().feed(wire)


def test_a_browser_may_ask_only_for_what_can_be_read_along() -> None:
    judge = Filter(watching=False, censored=True)
    asked = [0, 1, 5, 7, 16, -260, -308, EXTENDED_CLIPBOARD, -26]
    wire = struct.pack(">BxH", 2, len(asked)) + b"".join(struct.pack(">i", one) for one in asked)
    passed = judge.feed(wire)
    kept = [struct.unpack_from(">i", passed, at)[0] for at in range(4, len(passed), 4)]
    assert kept == [one for one in asked if one in ENCODINGS] == [0, 1, 7, 16, -308, -26]
    novnc = struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)
    assert judge.feed(novnc) == novnc
    with pytest.raises(Violation):
        judge.feed(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 16, 16, 0, 1, 31, 63, 31, 0, 5, 11))


def test_what_may_not_be_pasted_is_dropped_as_it_passes() -> None:
    judge = Filter(watching=False, pastes=False)
    assert judge.feed(struct.pack(">Bxxxi", 6, 5) + b"hello") == b""
    assert judge.dropped == 1 and not judge.clipboards


@pytest.mark.django_db
def test_the_strictest_of_the_proposals_holds(desk: Instance, facility: Facility, settings: LazySettings) -> None:
    other = facility.other
    desk.experiments.add(other)

    def said(mine: str, theirs: str) -> Clipboard:
        for experiment, value in ((facility.running, mine), (other, theirs)):
            set_clipboard(experiment.proposal_id, acting_user=facility.ivy, allowed=value)
        return allowed_in(Instance.objects.get(pk=desk.pk))

    assert said("", "") == Clipboard(True, True)
    assert said("in", "") == Clipboard(True, False)
    assert said("in", "out") == Clipboard(False, False)
    settings.CLIPBOARD = "none"
    assert said("both", "both") == Clipboard(True, True)
    assert said("both", "") == Clipboard(False, False)
    trail = AuditEvent.objects.filter(action="proposal.clipboard").order_by("seq").first()
    assert trail and trail.detail == {"before": "", "after": "in"}


@pytest.mark.django_db
def test_only_administrators_set_it(facility: Facility) -> None:
    with pytest.raises(Denied):
        set_clipboard(facility.running.proposal_id, acting_user=facility.ada, allowed="none")
    with pytest.raises(Invalid):
        set_clipboard(facility.running.proposal_id, acting_user=facility.ivy, allowed="sideways")


async def test_what_goes_in_is_in_the_trail_and_open_desktops_rejoin_when_it_changes(
    broker: Broker, desk: Instance, desktop: Xvnc, facility: Facility
) -> None:
    async with broker.sit(desk) as seat:
        await seat.socket.send(struct.pack(">Bxxxi", 6, 5) + b"hello")
        await seat.see()
        beat = broker.application.presence.beat()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(beat, loop_of(broker)))
        event = await in_database(AuditEvent.objects.get, action="clipboard.in")
        assert (event.detail["times"], event.detail["bytes"]) == (1, 5) and event.actor_id == desk.owner_id
        await in_database(lambda: set_clipboard(facility.running.proposal_id, acting_user=facility.ivy, allowed="none"))
        assert (await ending(seat.socket))[0] == 1012


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("allowed", ["both", "in"])
def test_a_desktop_is_drawn_as_before_and_its_clipboard_stays_inside_where_it_must(
    allowed: str,
    desktop: Xvnc,
    facility: Facility,
    desk: Instance,
    server: str,  # noqa: F811
    settings: LazySettings,
    browse: Browse,  # noqa: F811
) -> None:
    settings.PORTAL_URL = server
    set_clipboard(facility.running.proposal_id, acting_user=facility.ivy, allowed=allowed)
    page = browse(desk.owner, width=800, height=600)
    page.goto(f"/instances/{desk.pk}/desktop/")
    page.wait_for_selector("html[data-connection=connected]")
    until(lambda: desktop.screens() == ["800x600+0+0"], what="the size of the window")
    subprocess.run(["xsetroot", "-solid", "#205080"], env={"DISPLAY": desktop.display}, check=True)
    until(lambda: colour(page) == [0x20, 0x50, 0x80], what="the picture")
    subprocess.run(["xclip", "-selection", "clipboard"], env={"DISPLAY": desktop.display}, input=b"secret", check=True)
    field = page.get_by_label("Clipboard text")
    if allowed == "both":
        until(lambda: field.input_value() == "secret", what="the clipboard")
    else:
        page.wait_for_timeout(1500)
        assert field.input_value() == ""
    subprocess.run(["xsetroot", "-solid", "#802050"], env={"DISPLAY": desktop.display}, check=True)
    until(lambda: colour(page) == [0x80, 0x20, 0x50], what="the next picture")


def colour(page: Page) -> list[int]:
    """Of the middle of the picture."""
    found: list[int] = page.evaluate(
        "() => { const canvas = document.querySelector('#screen canvas');"
        " return [...canvas.getContext('2d').getImageData(400, 300, 1, 1).data.slice(0, 3)] }"
    )
    return found
