"""A scientist's way: sign in, launch a desktop on two screens, work with exactly their data."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.portal import Portal, until

from .steps import changed, choose, desktop_is_there, launch, type_into_terminal

pytestmark = pytest.mark.usefixtures("clean")


def folder_of_the_running_experiment(portal: Portal, login: str) -> Path:
    """Its PROCESSED_DATA on the facility's disk, as the API names it."""
    with portal.api(login) as api:
        (running,) = [e for e in api.get("/experiments/").json()["results"] if e["phase"] == "running"]
    (path,) = [grant["path"] for grant in running["grants"] if grant["path"].endswith("PROCESSED_DATA")]
    return portal.data / "facility" / path


def test_a_participant_works_on_two_screens_with_exactly_their_data(
    portal: Portal, sign_in: Callable[[str], Page]
) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop", screens=2)
    grants = page.locator("#grants")
    expect(grants).to_contain_text("PROCESSED_DATA")
    expect(grants).to_contain_text("read, write")
    expect(grants).to_contain_text("you are a participant of")
    launch(page)
    desktop_is_there(page, screens=2)

    processed = folder_of_the_running_experiment(portal, "bruno")
    inside = "/data/" + str(processed.relative_to(portal.data / "facility"))
    raw = inside.replace("PROCESSED_DATA", "RAW_DATA")
    type_into_terminal(
        page,
        f"cd {inside}",
        "echo proof > proof.txt",
        f"touch {raw}/proof.txt 2> refused.txt",
        "ls /data/visitor > seen.txt; xrandr --listmonitors > monitors.txt",
        "ls -a / /home /root > homes.txt 2>&1",
        "cat /proc/net/tcp /proc/net/tcp6 > sockets.txt; touch done.txt",
    )
    until((processed / "done.txt").exists, what="the terminal's commands")
    assert (processed / "proof.txt").read_text() == "proof\n"
    assert "Read-only file system" in (processed / "refused.txt").read_text()
    assert not (processed.parent / "RAW_DATA" / "proof.txt").exists()
    assert (processed / "seen.txt").read_text().split() == [processed.parents[2].name]
    assert "Monitors: 2" in (processed / "monitors.txt").read_text()
    sockets = (processed / "sockets.txt").read_text().splitlines()
    assert not [line for line in sockets if line.split()[3:4] == ["0A"]], "something listens on TCP"


def test_the_layout_changes_live_and_leaving_leaves_it_running(portal: Portal, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop", screens=1)
    instance = launch(page)
    desktop_is_there(page, screens=1)
    page.keyboard.press("Control+Alt+Shift")
    page.get_by_role("button", name="Screens and scaling").click()
    page.get_by_text("Dual", exact=True).click()
    page.wait_for_selector("html[data-screens='2']")
    page.goto(portal.url)
    card = page.locator(f"[data-instance='{instance}']").first
    expect(card).to_contain_text("Ready")
    page.goto(f"{portal.url}/instances/{instance}/desktop/")
    desktop_is_there(page, screens=2)


def test_the_clipboard_goes_both_ways(portal: Portal, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop")
    launch(page)
    desktop_is_there(page)
    processed = folder_of_the_running_experiment(portal, "bruno")
    inside = "/data/" + str(processed.relative_to(portal.data / "facility"))
    type_into_terminal(
        page, f"cd {inside}; clear; read pasted; echo $pasted > pasted.txt; clear; echo $((6*7)) answers"
    )

    page.keyboard.press("Control+Alt+Shift")
    page.get_by_role("button", name="Clipboard").click()
    page.get_by_label("Clipboard text").fill("from outside, ü")
    page.get_by_role("button", name="Send to the desktop").click()
    page.locator("canvas").first.click(position={"x": 300, "y": 200})
    with changed(page):  # the desktop asks for the text when something is pasted
        page.keyboard.press("Control+Shift+V")
    page.keyboard.press("Enter")
    pasted = processed / "pasted.txt"
    until(lambda: pasted.exists() and pasted.read_text(), what="the pasted text")
    assert pasted.read_text() == "from outside, ü\n"

    field = page.get_by_label("Clipboard text")

    def copied() -> bool:
        """Select all in the terminal and copy it; a busy machine may need a second time."""
        for keys in ("Control+Shift+A", "Control+Shift+C"):
            page.keyboard.press(keys)
            page.wait_for_timeout(700)
        return "42 answers" in field.input_value()

    until(copied, what="the terminal's text in the clipboard panel")


def test_a_screenshot_is_saved_and_statistics_are_shown(portal: Portal, sign_in: Callable[[str], Page]) -> None:
    page = sign_in("bruno")
    choose(page, portal, "Desktop")
    launch(page)
    desktop_is_there(page)
    page.keyboard.press("Control+Alt+Shift")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save a screenshot").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Statistics").click()
    expect(page.locator("#panel-statistics")).to_contain_text("Mbit/s")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("button", name="Ctrl Alt Del").click()
    page.get_by_label("Leave; programs go on running").click()
    expect(page).to_have_url(f"{portal.url}/")
