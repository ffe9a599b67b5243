"""Three people in one desktop, each in a browser of their own: what each may, while the owner changes it."""

import time
from dataclasses import dataclass

import pytest
from django.conf import LazySettings
from playwright.sync_api import Page, expect

from auth.data import Part
from auth.models import Participation, User
from instances.models import Connection, Instance
from instances.services.share import share
from instances.services.unshare import unshare
from tests.facility import Facility, person
from tests.pages.conftest import Browse, browse, server, signed_in, static_files  # noqa: F401
from tests.portal import until

from . import world

CONTROL, WATCH = "collaborator", "viewer"


@dataclass
class Room:
    desk: Instance
    desktop: world.Xvnc
    cleo: User
    """Is in control beside the owner."""
    wim: User
    """Watches."""
    owner_page: Page
    cleo_page: Page
    wim_page: Page

    def lets(self, user: User, role: str) -> None:
        share(self.desk.pk, acting_user=self.desk.owner, user=user.pk, role=role)

    def points(self, page: Page, x: int, y: int) -> bool:
        """Whether the desktop's pointer goes where that of `page` is moved."""
        page.mouse.move(x, y)
        page.wait_for_timeout(400)
        return self.desktop.pointer() == (x, y)


@pytest.fixture
def room(
    broker: world.Broker,
    facility: Facility,
    desktop: world.Xvnc,
    desk: Instance,
    server: str,  # noqa: F811
    settings: LazySettings,
    browse: Browse,  # noqa: F811
) -> Room:
    settings.PORTAL_URL = server
    people = [person("cleo", "Cleo Ng"), person("wim", "Wim Ost")]
    for user, role in zip(people, (CONTROL, WATCH), strict=True):
        Participation.objects.create(user=user, experiment=facility.running, part=Part.PARTICIPANT, source="test")
        share(desk.pk, acting_user=desk.owner, user=user.pk, role=role)
    pages = []
    for user in (desk.owner, *people):
        page = browse(user, width=800, height=600)
        page.goto(f"/instances/{desk.pk}/desktop/")
        page.wait_for_selector("html[data-connection=connected]")
        pages.append(page)
    until(lambda: desktop.screens() == ["800x600+0+0"], what="the size of the windows")
    return Room(desk, desktop, *people, *pages)


def seats() -> dict[str, tuple[str, str]]:
    return {
        name: (str(key), mode)
        for key, name, mode in Connection.objects.filter(closed=None).values_list("pk", "user__username", "mode")
    }


def test_who_watches_changes_nothing_whatever_they_press(room: Room) -> None:
    assert room.points(room.owner_page, 100, 120) and room.points(room.cleo_page, 200, 220)
    assert not room.points(room.wim_page, 300, 320)
    room.wim_page.mouse.click(310, 330)
    room.wim_page.keyboard.type("rm -rf")
    room.wim_page.set_viewport_size({"width": 640, "height": 500})
    room.wim_page.wait_for_timeout(600)
    assert room.desktop.pointer() == (200, 220)
    assert room.desktop.screens() == ["800x600+0+0"]
    expect(room.wim_page.get_by_role("button", name="Clipboard")).to_be_hidden()


def test_control_is_given_and_taken_back_without_reconnecting(room: Room) -> None:
    before = seats()
    assert before["wim"][1] == "watch"
    room.lets(room.wim, CONTROL)
    until(lambda: room.points(room.wim_page, 300, 320), what="the new right", seconds=5)
    room.lets(room.cleo, WATCH)
    until(lambda: not room.points(room.cleo_page, 10, 20 + int(time.monotonic() * 50) % 300), what="the lost right")
    after = seats()
    assert {name: key for name, (key, _) in after.items()} == {name: key for name, (key, _) in before.items()}
    assert (after["wim"][1], after["cleo"][1]) == ("control", "watch")


def test_a_revocation_closes_within_a_second_and_the_others_stay(room: Room) -> None:
    began = time.monotonic()
    unshare(room.desk.pk, acting_user=room.desk.owner, user=room.cleo.pk)
    until(lambda: "cleo" not in seats(), what="the end of the seat", seconds=5)
    assert time.monotonic() - began < 1
    expect(room.cleo_page.get_by_role("heading", name="You were disconnected")).to_be_visible()
    expect(room.cleo_page.get_by_text("Its owner does not share it with you any longer.")).to_be_visible()
    assert room.points(room.owner_page, 50, 60)
    assert set(seats()) == {"ada", "wim"}


def test_the_panel_tells_everybody_who_is_here_and_in_which_role(room: Room) -> None:
    for page in (room.owner_page, room.cleo_page, room.wim_page):
        page.reload()
        page.wait_for_selector("html[data-connection=connected]")
        page.wait_for_timeout(300)
        page.mouse.move(400, 5)
        page.get_by_role("button", name="People").click()
        panel = page.locator("#panel-people")
        assert "watching" in panel.inner_text() and "in control" in panel.inner_text()
    expect(room.owner_page.get_by_role("button", name="Give control to Wim Ost")).to_be_visible()
    expect(room.wim_page.get_by_role("button", name="Give control to Wim Ost")).to_have_count(0)


def test_the_owner_gives_control_with_one_click_in_the_desktop(room: Room) -> None:
    room.owner_page.reload()
    room.owner_page.wait_for_selector("html[data-connection=connected]")
    room.owner_page.mouse.move(400, 5)
    room.owner_page.get_by_role("button", name="People").click()
    room.owner_page.get_by_role("button", name="Give control to Wim Ost").click()
    expect(room.owner_page.get_by_text("Wim Ost may watch and work in it now.")).to_be_visible()
    until(lambda: seats()["wim"][1] == "control", what="control", seconds=5)
