"""The desktop page in a real browser, with a real Xvnc behind it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from instances.models import Instance
from instances.services import stop
from instances.states import State
from tests.facility import Facility, instance

from .conftest import Browse
from .desktops import Door, Xvnc

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def door(tmp_path: Path, settings: Any) -> Iterator[Door]:
    xvnc = Xvnc(tmp_path, 100 + os.getpid() % 800)
    door = Door(xvnc.path)
    settings.BROKER_URL = door.url
    yield door
    door.stop()
    xvnc.stop()


@pytest.fixture
def page(door: Door, facility: Facility, browse: Browse) -> Page:
    desktop = instance(facility, facility.ada, name="Live analysis")
    page = browse(facility.ada, width=1300, height=800)
    page.goto(f"/instances/{desktop.pk}/desktop/")
    says(page, "connected")
    return page


def says(page: Page, connection: str) -> None:
    page.wait_for_selector(f"html[data-connection={connection}]")


def has_size(page: Page, width: int, height: int) -> None:
    page.wait_for_function(
        "([w, h]) => { const c = document.querySelector('#screen canvas'); return c?.width === w && c?.height === h; }",
        arg=[width, height],
    )


def open_panel(page: Page, label: str) -> None:
    page.mouse.move(650, 5)
    page.get_by_role("button", name=label).click()


def test_the_desktop_fits_the_window_and_follows_it(page: Page) -> None:
    has_size(page, 1300, 800)
    page.set_viewport_size({"width": 1100, "height": 700})
    has_size(page, 1100, 700)


def test_a_second_screen_can_be_added_and_removed_while_working(page: Page) -> None:
    page.wait_for_selector("html[data-screens='1']")
    open_panel(page, "Screens and scaling")
    page.get_by_text("Dual", exact=True).click()
    page.wait_for_selector("html[data-screens='2']")
    page.get_by_label("Resolution of each screen").select_option("1920x1080")
    has_size(page, 3840, 1080)
    page.get_by_text("Single", exact=True).click()
    page.wait_for_selector("html[data-screens='1']")
    has_size(page, 1920, 1080)


def test_a_lost_connection_comes_back_by_itself_with_a_fresh_ticket(page: Page, door: Door) -> None:
    door.close(1012, "The connection was lost.")
    expect(page.get_by_role("heading", name="Connection interrupted")).to_be_visible()
    expect(page.get_by_text("Trying again in 1 s")).to_be_visible()
    expect(page.locator("#frozen")).to_be_visible()
    says(page, "connected")
    expect(page.locator("#curtain")).to_be_hidden()
    assert len(set(door.tickets)) == 2


def test_whoever_was_removed_is_told_and_stays_out(page: Page, door: Door) -> None:
    door.close(4003, "The owner ended your access.")
    says(page, "closed")
    expect(page.get_by_text("The owner ended your access.")).to_be_visible()
    page.wait_for_timeout(1500)
    assert len(door.tickets) == 1


def test_a_stopped_desktop_offers_to_start_again(page: Page, door: Door, facility: Facility) -> None:
    stop.stop(Instance.objects.get().pk, acting_user=facility.ada)
    door.close(4004, "The instance is not running.")
    says(page, "closed")
    expect(page.get_by_role("button", name="Start it again")).to_be_visible()


def test_the_toolbar_is_reached_by_keyboard_and_gives_the_focus_back(page: Page) -> None:
    page.keyboard.press("Control+Alt+Shift")
    expect(page.get_by_role("button", name="Full screen")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#screen canvas")).to_be_focused()


def test_statistics_tell_the_desktops_size_and_speed(page: Page) -> None:
    open_panel(page, "Statistics")
    expect(page.locator("[data-statistic=size]")).to_have_text("1300 × 800")
    expect(page.locator("[data-statistic=latency]")).to_contain_text("ms")


def test_a_screenshot_is_a_png_of_the_whole_desktop(page: Page) -> None:
    has_size(page, 1300, 800)
    page.mouse.move(650, 5)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save a screenshot").click()
    picture = Path(download.value.path()).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(picture[at : at + 4], "big") for at in (16, 20)] == [1300, 800]


def test_the_ticket_appears_in_no_address_and_no_page(page: Page, door: Door) -> None:
    addresses = page.evaluate("performance.getEntries().map((entry) => entry.name)")
    assert not [address for address in [*addresses, page.content(), page.url] if door.tickets[0] in address]


def test_a_desktop_that_is_not_ready_shows_its_progress_instead(browse: Browse, facility: Facility) -> None:
    starting = instance(facility, facility.ada, State.STARTING)
    page = browse(facility.ada)
    page.goto(f"/instances/{starting.pk}/desktop/")
    assert page.url.endswith(f"/instances/{starting.pk}/progress/")
