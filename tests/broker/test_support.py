"""The support seat in Chromium: a local contact asks, the owner answers inside the desktop, and ends it."""

import time

import pytest
from django.conf import LazySettings
from playwright.sync_api import expect

from auth.data import Part
from auth.models import Participation
from instances.models import Connection, Instance
from tests.facility import Facility, person
from tests.pages.conftest import Browse, browse, server, signed_in, static_files  # noqa: F401
from tests.portal import until


@pytest.mark.usefixtures("desktop", "broker")
def test_a_local_contact_asks_is_let_in_by_the_owner_and_is_out_at_once(
    facility: Facility,
    desk: Instance,
    server: str,  # noqa: F811
    settings: LazySettings,
    browse: Browse,  # noqa: F811
) -> None:
    settings.PORTAL_URL = server
    lotte = person("lotte", "Lotte Berg")
    Participation.objects.create(user=lotte, experiment=facility.running, part=Part.LOCAL_CONTACT, source="test")
    owner, asker = browse(desk.owner, width=1200, height=800), browse(lotte, width=1200, height=800)
    owner.goto(f"/instances/{desk.pk}/desktop/")
    owner.wait_for_selector("html[data-connection=connected]")

    asker.goto(f"/instances/{desk.pk}/")
    asker.get_by_label("Ask to be let in").fill("The detector is off, may I look?")
    asker.get_by_role("button", name="Ask Ada Lind").click()
    expect(asker.get_by_text("You asked Ada Lind")).to_be_visible()
    expect(asker.get_by_role("link", name="Watch", exact=True)).not_to_be_visible()

    card = owner.get_by_role("form", name="Lotte Berg asks")
    expect(card).to_be_visible()
    expect(card).to_contain_text("local contact")
    expect(card).to_contain_text("The detector is off, may I look?")
    expect(card).to_contain_text("They would see your screen")
    card.get_by_label("For").select_option("120")
    card.get_by_role("button", name="Let them watch").click()
    expect(card).not_to_be_visible()

    asker.get_by_role("link", name="Watch", exact=True).click()
    asker.wait_for_selector("html[data-connection=connected]")
    expect(asker.get_by_text("Watching", exact=True)).to_be_visible()
    until(lambda: Connection.objects.filter(user=lotte, mode="watch", closed=None).exists(), what="the seat")
    expect(owner.get_by_text("Lotte Berg is here, watching.")).to_be_visible()

    owner.get_by_role("button", name="Do not share with Lotte Berg any longer").click()
    ended = time.monotonic()
    asker.wait_for_selector("html[data-connection=closed]")
    assert time.monotonic() - ended < 2
    expect(asker.get_by_text("does not share it with you any longer")).to_be_visible()
