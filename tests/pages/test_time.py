"""Time left, warnings, more time in one click or by asking: on cards, on pages and inside the desktop."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from instances.errors import Conflict
from instances.models import ExtensionRequest, Instance, LifetimeRule, Load
from instances.reconcile import lifetimes
from instances.services import lifetime_rules
from instances.services.extend import ask_extension
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As, Browse
from .desktops import Door, Xvnc

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
PICTURES = os.environ.get("PICTURES")


@pytest.fixture(autouse=True)
def usual(db: None) -> LifetimeRule:
    LifetimeRule.objects.all().delete()
    return LifetimeRule.objects.create(hours=336, idle_hours=96, delete_after_days=30, extend_times=1, extend_hours=168)


def ends_in(facility: Facility, left: timedelta, **fields: Any) -> Instance:
    """Warned of by the sweep itself, where there is something to warn of."""
    now = timezone.now()
    wanted = {"expires": now + left, "created": now - 336 * HOUR + left, "active_at": now, "state_since": now - HOUR}
    row = instance(facility, facility.ada, **wanted | fields)
    Load.objects.update_or_create(cloud=facility.cloud, defaults={"at": now, "seconds": {row.key: 1.0}})
    lifetimes.sweep()
    return Instance.objects.get(pk=row.pk)


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def test_far_from_the_end_a_card_has_a_quiet_bar_and_no_warning(facility: Facility, signed_in: As) -> None:
    ends_in(facility, 200 * HOUR)
    page = signed_in(facility.ada).get("/").content.decode()
    assert 'aria-label="Time left"' in page and "Its lifetime ends" not in page
    assert "Extend by 7 days" in page, "the menu offers it all the time"


def test_idle_and_deletion_are_said_in_their_own_words(facility: Facility, signed_in: As) -> None:
    now = timezone.now()
    idle = ends_in(facility, 300 * HOUR, active_at=now - 80 * HOUR, state_since=now - 90 * HOUR)
    assert idle.warnings["idle"]
    page = signed_in(facility.ada).get("/").content.decode()
    assert "It is stopped" in page and "because nothing happens in it" in page and "Keep it running" in page
    Instance.objects.filter(pk=idle.pk).update(state=State.STOPPED, desired="stopped", phase="stopped", warnings={})
    Instance.objects.filter(pk=idle.pk).update(state_since=now - 29.5 * 24 * HOUR, review_at=now)
    lifetimes.sweep()
    assert "It is deleted" in signed_in(facility.ada).get(f"/instances/{idle.pk}/").content.decode()


def test_a_second_press_of_the_same_button_extends_nothing(facility: Facility, signed_in: As) -> None:
    LifetimeRule.objects.update(extend_times=5)
    row = ends_in(facility, 30 * HOUR)
    for _ in range(2):
        signed_in(facility.ada).post(f"/instances/{row.pk}/extend/", {"seen": row.expires.isoformat()})
    row.refresh_from_db()
    assert row.extensions == 1 and row.warnings == {}


def test_others_are_offered_nothing_and_can_do_nothing(facility: Facility, signed_in: As) -> None:
    row = ends_in(facility, 30 * HOUR)
    page = signed_in(facility.sci).get(f"/instances/{row.pk}/").content.decode()
    assert "Extend" not in page and "lifetime" not in page
    for address in ("extend", "time"):
        assert signed_in(facility.sci).post(f"/instances/{row.pk}/{address}/").status_code == 403
        assert signed_in(facility.bob).post(f"/instances/{row.pk}/{address}/").status_code == 404
    assert signed_in(facility.ivy).post(f"/instances/{row.pk}/time/").status_code == 403


def test_what_was_typed_stays_beside_what_is_wrong_with_it(facility: Facility, signed_in: As) -> None:
    row = ends_in(facility, 30 * HOUR)
    answer = signed_in(facility.ada).post(
        f"/instances/{row.pk}/time/", {"what": "ask", "until": "2020-01-01", "because": "fit"}
    )
    page = answer.content.decode()
    assert answer.status_code == 422 and 'value="2020-01-01"' in page and ">fit</textarea>" in page
    assert "Choose a day after its present end" in page and "Say what you need it for" in page
    answer = signed_in(facility.ada).post(f"/instances/{row.pk}/time/", {"what": "keep", "keep": "2099-01-01"})
    assert answer.status_code == 422 and "Extend it first" in answer.content.decode()


def test_kept_until_its_last_day_it_is_kept_until_its_end(facility: Facility, signed_in: As) -> None:
    row = ends_in(facility, 30 * HOUR)
    answer = signed_in(facility.ada).post(
        f"/instances/{row.pk}/time/", {"what": "keep", "keep": f"{row.expires:%Y-%m-%d}"}
    )
    row.refresh_from_db()
    assert answer.status_code == 302 and row.keep_until == row.expires
    signed_in(facility.ada).post(f"/instances/{row.pk}/time/", {"what": "release"})
    row.refresh_from_db()
    assert row.keep_until is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_card_warns_and_one_click_gives_more_time(facility: Facility, browse: Browse, dark: bool) -> None:
    ends_in(facility, 30 * HOUR, name="Rings")
    instance(facility, facility.ada, name="Long", expires=timezone.now() + 200 * HOUR)
    page = browse(facility.ada, dark=dark)
    page.goto("/")
    card = page.locator("article", has_text="Rings")
    expect(card.get_by_role("note")).to_contain_text("Its lifetime ends")
    picture(page, f"home-{dark}")
    card.get_by_role("note").get_by_role("button", name="Extend by 7 days").click()
    expect(card.get_by_role("note")).to_have_count(0)
    expect(page.locator("#toasts")).to_contain_text("Rings lives until")
    row = Instance.objects.get(name="Rings")
    assert row.expires > timezone.now() + 190 * HOUR and row.extensions == 1
    page.goto(f"/instances/{row.pk}/")
    picture(page, f"detail-{dark}")
    page.get_by_role("link", name="More time").click()
    expect(page.get_by_text("as often as you may by yourself")).to_be_visible()
    picture(page, f"time-{dark}")


@pytest.mark.django_db(transaction=True)
def test_a_request_is_made_decided_and_told(facility: Facility, browse: Browse, signed_in: As) -> None:
    ends_in(facility, 30 * HOUR, name="Rings", extensions=1)
    page = browse(facility.ada)
    page.goto("/")
    page.get_by_role("note").get_by_role("link", name="Ask for more time").click()
    day = f"{timezone.now() + timedelta(days=40):%Y-%m-%d}"
    page.get_by_label("Last day").fill(day)
    page.get_by_label("What you need it for").fill("The refinement of all rings needs five weeks")
    page.get_by_role("button", name="Ask for more time").click()
    expect(page.get_by_text("An administrator will look at your request.")).to_be_visible()
    expect(page.locator("main")).to_contain_text("waiting for an administrator")
    asked = ExtensionRequest.objects.get()
    assert asked.asked_by == facility.ada and f"{asked.until - HOUR:%Y-%m-%d}" == day


@pytest.fixture
def door(tmp_path: Path, settings: Any) -> Iterator[Door]:
    xvnc = Xvnc(tmp_path, 900 + os.getpid() % 90)
    door = Door(xvnc.path)
    settings.BROKER_URL = door.url
    yield door
    door.stop()
    xvnc.stop()


@pytest.mark.django_db(transaction=True)
def test_the_desktop_warns_on_top_of_the_picture_and_extends_in_one_click(
    door: Door, facility: Facility, browse: Browse
) -> None:
    row = ends_in(facility, 30 * HOUR, name="Live analysis")
    page = browse(facility.ada)
    page.goto(f"/instances/{row.pk}/desktop/")
    page.wait_for_selector("html[data-connection=connected]")
    note = page.locator("#endings .ending-note")
    expect(note).to_contain_text("Its lifetime ends")
    picture(page, "desktop")
    note.get_by_role("button", name="Extend by 7 days").click()
    expect(note).to_have_count(0)
    expect(page.locator("#toasts")).to_contain_text("Live analysis lives until")
    row.refresh_from_db()
    assert row.extensions == 1
    assert datetime.now(row.expires.tzinfo) < row.expires


@pytest.mark.django_db(transaction=True)
def test_the_desktop_s_note_can_be_hidden_and_stays_so(facility: Facility, browse: Browse) -> None:
    row = ends_in(facility, 30 * HOUR)
    page = browse(facility.ada)
    page.goto(f"/instances/{row.pk}/desktop/")
    note = page.locator("#endings .ending-note")
    note.get_by_role("button", name="Hide this").click()
    expect(note).to_be_hidden()
    with page.expect_response("**/endings/"):
        page.evaluate("document.getElementById('endings').dispatchEvent(new CustomEvent('refresh'))")
    expect(note).to_be_hidden()


def test_staff_keep_the_rules_and_their_reasons(facility: Facility) -> None:
    made = lifetime_rules.set_rule(
        acting_user=facility.ivy,
        because="GPUs are scarce this winter",
        flavour=facility.big,
        role="",
        on_request=False,
        hours=24,
        idle_hours=4,
        delete_after_days=7,
        extend_times=0,
        extend_hours=24,
    )
    assert str(made) == "everybody on A40"
    row = instance(facility, facility.ada, flavour=facility.big, expires=timezone.now() + HOUR)
    with pytest.raises(Conflict, match="cannot be extended any more"):
        ask_extension(row.pk, acting_user=facility.ada, until=timezone.now() + 99 * HOUR, because="I need it longer")
