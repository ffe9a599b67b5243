"""Any process may die at any line: nothing is lost, nothing is doubled, and the page recovers by itself."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, Page

from tests.portal import Portal, until

from . import steps
from .conftest import open_up
from .steps import choose, desktop_is_there, launch


def xvncs(portal: Portal) -> int:
    """How many desktops really run for this portal."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found += words[0].endswith(b"Xvnc") or words[0].endswith(b"Xtigervnc")
    return found


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("victim", ["worker", "broker", "web"])
def test_a_kill_during_a_launch_loses_and_doubles_nothing(
    portal: Portal, sign_in: Callable[[str], Page], victim: str
) -> None:
    before = xvncs(portal)
    page = sign_in("bruno")
    choose(page, portal, "Desktop")
    instance = launch(page)
    portal.kill(victim)
    desktop_is_there(page)
    assert xvncs(portal) == before + 1
    with psycopg.connect(portal.database_url) as database:
        states = database.execute("SELECT state FROM instances_instance WHERE id = %s", [instance]).fetchall()
        broken = database.execute("SELECT visa_auth_audit_broken()").fetchone()
    assert states == [("ready",)] and broken == (None,)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("victim", ["worker", "broker", "web"])
def test_a_kill_while_a_desktop_is_open_heals_by_itself(
    portal: Portal, sign_in: Callable[[str], Page], victim: str
) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop")
    launch(page)
    desktop_is_there(page)
    running = xvncs(portal)
    portal.kill(victim)
    if victim == "broker":
        page.wait_for_selector("html:not([data-connection=connected])")
    desktop_is_there(page)
    assert xvncs(portal) == running


@pytest.mark.usefixtures("clean")
def test_a_restart_comes_back_to_whoever_sits_there(portal: Portal, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop")
    instance = launch(page)
    desktop_is_there(page)
    with portal.api("bruno") as api:
        assert api.post(f"/instances/{instance}/restart/").status_code == 202
    page.wait_for_selector("html:not([data-connection=connected])")
    desktop_is_there(page)
    page.wait_for_selector("#curtain", state="hidden")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(open_up(tmp_path))
    yield portal
    portal.stop(signal.SIGINT)


def test_a_second_start_finds_everything_as_it_was_left(own: Portal, chromium: Browser) -> None:
    page = steps.sign_in(chromium, own.start(), "bruno")
    choose(page, own, "Desktop")
    instance = launch(page)
    desktop_is_there(page)
    running = xvncs(own)

    own.stop(signal.SIGTERM)
    assert xvncs(own) == running
    own.start()
    desktop_is_there(page)
    assert xvncs(own) == running

    own.stop(signal.SIGINT)
    assert xvncs(own) == running - 1
    own.start()
    with own.api("bruno") as api:
        found = api.get(f"/instances/{instance}/").json()
        assert (found["state"], found["message"]) == ("stopped", "The portal was shut down")
        api.post(f"/instances/{instance}/start/")
        until(lambda: api.get(f"/instances/{instance}/").json()["state"] == "ready", what="the desktop to start again")
    page.context.close()
