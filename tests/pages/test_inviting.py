"""An invitation from the owner's page to the invited person's, in Chromium."""

import pytest
from django.test import Client
from playwright.sync_api import expect

from instances.models import Instance, Member
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(facility: Facility) -> Instance:
    return instance(facility, facility.ada, name="Rings")


def test_a_link_is_made_opened_once_and_the_code_leaves_the_address(
    desk: Instance, facility: Facility, browse: Browse, server: str
) -> None:
    owner = browse(facility.ada)
    owner.goto(f"/instances/{desk.pk}/")
    owner.get_by_text("Invite with a link").click()
    owner.locator("#invite-role").select_option("collaborator")
    owner.get_by_role("button", name="Make a link").click()
    code = owner.locator("#link").inner_text().partition("#")[2]
    assert len(code) >= 30
    owner.goto(f"/instances/{desk.pk}/")
    expect(owner.get_by_text("Link to work in it")).to_be_visible()

    invited = browse(facility.bob)
    invited.goto(f"/join/#{code}")
    expect(invited.get_by_label("Code of the invitation")).to_have_value(code)
    assert "#" not in invited.url
    invited.get_by_role("button", name="Come in").click()
    expect(invited.get_by_text("Ada Lind has let you in.")).to_be_visible()
    expect(invited.get_by_role("link", name="Open", exact=True)).to_be_visible()
    assert Member.objects.get().role == "collaborator"

    invited.goto(f"/join/#{code}")
    invited.get_by_role("button", name="Come in").click()
    field = invited.get_by_label("Code of the invitation")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(invited.get_by_text("This invitation is not valid")).to_be_visible()


def test_whoever_has_to_sign_in_first_finds_the_code_afterwards(
    desk: Instance, facility: Facility, browse: Browse
) -> None:
    page = browse(facility.bob)
    kept = page.context.cookies()
    page.context.clear_cookies()
    page.goto("/join/#the-code-of-it")
    expect(page.get_by_role("link", name="Sign in")).to_have_attribute("href", "/sign-in/?next=/join/")
    assert "#" not in page.url
    page.context.add_cookies(kept)
    page.goto("/join/")
    expect(page.get_by_label("Code of the invitation")).to_have_value("the-code-of-it")


def test_an_invitation_is_shown_once_and_kept_nowhere(desk: Instance, facility: Facility, signed_in: As) -> None:
    client: Client = signed_in(facility.ada)
    made = client.post(f"/instances/{desk.pk}/invite/", {"role": "viewer"})
    text = made.content.decode()
    assert "/join/#" in text and made.headers["Cache-Control"] == "no-store"
    code = text.partition("/join/#")[2].partition("<")[0].strip()
    assert code not in client.get(f"/instances/{desk.pk}/").content.decode()
    assert client.post(f"/instances/{desk.pk}/invite/", {"role": "owner"}).status_code == 302


def test_what_is_wrong_with_a_form_stands_beside_its_field_and_nothing_typed_is_lost(
    desk: Instance, facility: Facility, browse: Browse
) -> None:
    page = browse(facility.ada)
    page.goto(f"/instances/{desk.pk}/")
    page.locator("#share-role").select_option("collaborator")
    page.locator("#share-until").fill("2020-01-01")
    page.get_by_role("button", name="Share", exact=True).click()
    field = page.locator("#share-until")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description("Choose a day that is not over.")
    expect(field).to_be_focused()
    expect(page.locator("#share-role")).to_have_value("collaborator")
    assert not Member.objects.exists()
    field.fill("2120-01-01")
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.get_by_text("Bob Maes may watch and work in it now.")).to_be_visible()
    assert Member.objects.get().user == facility.bob


def test_a_link_is_taken_back(desk: Instance, facility: Facility, browse: Browse, signed_in: As) -> None:
    signed_in(facility.ada).post(f"/instances/{desk.pk}/invite/", {"role": "viewer"})
    page = browse(facility.ada)
    page.goto(f"/instances/{desk.pk}/")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("The invitation is not valid any more.")).to_be_visible()
    expect(page.get_by_text("Link to watch")).to_be_hidden()
