"""Taken off a team while the desktop is open: it closes at once, and says why; nobody else notices anything."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.portal import Portal, until

from . import steps

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def team(portal: Portal) -> Iterator[Path]:
    """The catalogue's table of who takes part in what; put back afterwards."""
    table = portal.data / "demo/catalogue/participations.csv"
    before = table.read_text()
    yield table
    table.write_text(before)
    portal.manage("sync_catalogue", "demo", "--full")


def open_desktop(page: Page, portal: Portal) -> str:
    steps.choose(page, portal, "Desktop")
    instance = steps.launch(page)
    page.wait_for_url(f"{portal.url}/instances/{instance}/desktop/")
    steps.desktop_is_there(page)
    return instance


def test_a_participant_who_is_removed_during_the_experiment(
    portal: Portal, sign_in: Callable[[str], Page], team: Path
) -> None:
    alice, bruno = sign_in("alice"), sign_in("bruno")
    stays, ends = open_desktop(alice, portal), open_desktop(bruno, portal)

    team.write_text(team.read_text().replace("hc-5187-2,bruno,participant\n", ""))
    assert "bruno" in portal.manage("sync_catalogue", "demo").casefold()
    committed = time.monotonic()
    bruno.wait_for_selector("html[data-connection=closed]", timeout=5_000)
    assert time.monotonic() - committed < 1
    expect(bruno.get_by_role("status").filter(has_text="not on the team of HC-5187")).to_be_visible()
    assert alice.locator("html").get_attribute("data-connection") == "connected"

    with portal.api("bruno") as api:
        until(lambda: api.get(f"/instances/{ends}/").json()["state"] == "stopped", what="the instance to be stopped")
        assert not api.get(f"/instances/{ends}/").json()["grants"]
        refused = api.post(f"/instances/{ends}/start/", json={})
        assert refused.status_code == 403 and "not on the team of HC-5187" in refused.json()["detail"]
    with portal.api("alice") as api:
        assert api.get(f"/instances/{stays}/").json()["state"] == "ready"
