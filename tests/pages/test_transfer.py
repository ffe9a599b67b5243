"""Handing an instance over, clicked through in Chromium by both."""

import pytest
from playwright.sync_api import expect

from instances.models import Instance
from instances.services.share import share
from instances.states import State
from tests.facility import Facility, instance

from .conftest import Browse

pytestmark = pytest.mark.django_db


def test_the_owner_offers_it_and_whoever_accepts_is_its_owner(facility: Facility, browse: Browse) -> None:
    desk = instance(facility, facility.ada, State.STOPPED, name="Rings")
    share(desk.pk, acting_user=facility.ada, user=facility.bob.pk, role="viewer")
    owner, taker = browse(facility.ada), browse(facility.bob)
    owner.goto(f"/instances/{desk.pk}/")
    owner.get_by_label("Hand it over to").select_option(label="Bob Maes")
    owner.get_by_role("button", name="Offer").click()
    expect(owner.get_by_text("They are told, and decide.")).to_be_visible()
    expect(owner.get_by_text("offered to take it over")).to_be_visible()

    taker.goto(f"/instances/{desk.pk}/")
    expect(taker.get_by_text("wants to hand this instance over to you")).to_be_visible()
    taker.get_by_role("button", name="Take it over").click()
    expect(taker.get_by_text("“Rings” is yours now").or_(taker.get_by_text("Rings is yours now"))).to_be_visible()
    expect(taker.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert Instance.objects.get().owner == facility.bob

    owner.goto("/")
    expect(owner.get_by_text("Shared with you")).to_be_visible()


def test_what_runs_cannot_be_taken_over_and_says_so(facility: Facility, browse: Browse) -> None:
    desk = instance(facility, facility.ada, State.READY, name="Rings")
    member = share(desk.pk, acting_user=facility.ada, user=facility.bob.pk, role="viewer")
    type(member).objects.update(offered=member.added)
    taker = browse(facility.bob)
    taker.goto(f"/instances/{desk.pk}/")
    expect(taker.get_by_text("It has to be stopped first.")).to_be_visible()
    expect(taker.get_by_role("button", name="Take it over")).to_be_disabled()
    taker.get_by_role("button", name="No", exact=True).click()
    expect(taker.get_by_text("You do not take it over.")).to_be_visible()
    expect(taker.get_by_text("wants to hand this instance over")).to_be_hidden()
