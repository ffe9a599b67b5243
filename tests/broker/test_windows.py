"""A window per monitor in a real browser: real pages, a real broker, a real Xvnc, and something that moves in it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from playwright.sync_api import Page, WebSocket

from instances.broker.endings import LOST
from instances.models import Connection, Instance
from tests.pages.conftest import Browse, browse, server, signed_in, static_files  # noqa: F401
from tests.portal import until

from . import world

LEFT, RIGHT = (900, 640), (700, 560)
QUIET = 0.05
"""Of the bytes that the window with the moving picture gets, what the other may get."""


@pytest.fixture
def first(
    broker: world.Broker,
    desktop: world.Xvnc,
    desk: Instance,
    server: str,  # noqa: F811
    settings: LazySettings,
    browse: Browse,  # noqa: F811
) -> Page:
    """Ada's desktop in one wide window."""
    settings.PORTAL_URL = server
    page = browse(desk.owner, width=LEFT[0], height=LEFT[1])
    page.goto(f"/instances/{desk.pk}/desktop/")
    page.wait_for_selector("html[data-connection=connected]")
    return page


@pytest.fixture
def second(first: Page, desktop: world.Xvnc) -> Page:
    with first.expect_popup() as opened:
        press(first, "Open a second screen")
    page = opened.value
    page.set_viewport_size({"width": RIGHT[0], "height": RIGHT[1]})
    has_screens(desktop, "900x640+0+0", "700x560+900+0")
    for window, (width, height) in ((first, LEFT), (page, RIGHT)):
        shows(window, width, height)
    return page


def press(page: Page, label: str) -> None:
    page.mouse.move(450, 5)
    page.get_by_role("button", name=label).click()


def has_screens(desktop: world.Xvnc, *screens: str) -> None:
    until(lambda: sorted(desktop.screens()) == sorted(screens), what=f"screens {screens}, not {desktop.screens()}")


def shows(page: Page, width: int, height: int) -> None:
    page.wait_for_selector("html[data-connection=connected]")
    page.wait_for_function(
        "([w, h]) => { const c = document.querySelector('#screen canvas'); return c?.width === w && c?.height === h; }",
        arg=[width, height],
    )


def points(page: Page, desktop: world.Xvnc, x: int, y: int, at: tuple[int, int]) -> None:
    page.mouse.move(x, y)
    until(lambda: desktop.pointer() == at, what=f"the pointer at {at}, not {desktop.pointer()}", seconds=5)


class Traffic:
    """Bytes that a page's newest desktop socket has received."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        page.on("websocket", self._watch)
        page.reload()
        page.wait_for_selector("html[data-connection=connected]")

    def _watch(self, socket: WebSocket) -> None:
        if socket.url.endswith("/desktop"):
            socket.on("framereceived", self._count)

    def _count(self, payload: Any) -> None:
        self.bytes += len(payload)


@contextlib.contextmanager
def animation(desktop: world.Xvnc, x: int) -> Iterator[None]:
    """A terminal at `x` in which text runs."""
    command = ["dbus-run-session", "--", "xfce4-terminal", "--disable-server", f"--geometry=40x12+{x}+60"]
    command += ["--command", "sh -c 'while :; do date +%N; done'"]
    environment = {"DISPLAY": desktop.display, "PATH": "/usr/bin:/bin", "HOME": str(desktop.path.parent)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the bus does not take the terminal with it
        process.wait(10)


def runs(traffic: Traffic, page: Page) -> None:
    """Until the picture moves; Playwright hears of what arrives only while it waits itself."""
    begun = traffic.bytes
    for _ in range(200):
        page.wait_for_timeout(100)
        if traffic.bytes > begun + 50_000:
            return
    raise AssertionError("nothing moves")


def test_each_window_shows_one_screen_and_points_exactly(first: Page, second: Page, desktop: world.Xvnc) -> None:
    points(first, desktop, 300, 200, (300, 200))
    points(second, desktop, 300, 200, (1200, 200))
    points(second, desktop, 690, 550, (1590, 550))
    points(first, desktop, 890, 630, (890, 630))
    assert sorted(Connection.objects.filter(closed=None).values_list("monitor", flat=True)) == [1, 2]


def test_what_moves_on_one_screen_costs_the_other_window_nothing(
    first: Page, second: Page, desktop: world.Xvnc
) -> None:
    left, right = Traffic(first), Traffic(second)
    has_screens(desktop, "900x640+0+0", "700x560+900+0")
    for x, busy, quiet in ((60, left, right), (960, right, left)):
        with animation(desktop, x):
            runs(busy, first)
            at = busy.bytes, quiet.bytes
            first.wait_for_timeout(3000)
            moved = busy.bytes - at[0]
            assert moved > 50_000
            assert quiet.bytes - at[1] <= QUIET * moved, (quiet.bytes - at[1], moved)


def test_a_window_that_changes_its_size_leaves_the_other_as_it_is(
    first: Page, second: Page, desktop: world.Xvnc
) -> None:
    first.set_viewport_size({"width": 1000, "height": 700})
    has_screens(desktop, "1000x700+0+0", "700x560+1000+0")
    shows(first, 1000, 700)
    shows(second, *RIGHT)
    points(second, desktop, 10, 20, (1010, 20))
    second.set_viewport_size({"width": 640, "height": 480})
    has_screens(desktop, "1000x700+0+0", "640x480+1000+0")
    shows(first, 1000, 700)
    points(first, desktop, 500, 300, (500, 300))


def test_when_the_second_window_closes_one_screen_is_left(first: Page, second: Page, desktop: world.Xvnc) -> None:
    second.close()
    has_screens(desktop, "900x640+0+0")
    shows(first, *LEFT)
    points(first, desktop, 300, 200, (300, 200))


def test_the_first_window_closes_the_second_and_finds_it_again_after_a_reload(
    first: Page, second: Page, desktop: world.Xvnc
) -> None:
    first.reload()
    has_screens(desktop, "900x640+0+0", "700x560+900+0")
    first.wait_for_selector("[data-do=second][aria-pressed=true]", state="attached")
    press(first, "Close the second screen")
    has_screens(desktop, "900x640+0+0")
    assert second.is_closed()


def test_both_windows_come_back_together(first: Page, second: Page, desktop: world.Xvnc, broker: world.Broker) -> None:
    presence = broker.application.presence
    for seat in list(presence.seats.values()):
        seat.ended.get_loop().call_soon_threadsafe(presence.end, seat, LOST)
    ended = set(Connection.objects.values_list("pk", flat=True))
    again = Connection.objects.filter(closed=None).exclude(pk__in=ended)
    until(lambda: sorted(again.values_list("monitor", flat=True)) == [1, 2], what="both windows to be back")
    for page, size in ((first, LEFT), (second, RIGHT)):
        shows(page, *size)
    has_screens(desktop, "900x640+0+0", "700x560+900+0")
    points(second, desktop, 300, 200, (1200, 200))
