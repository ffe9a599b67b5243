"""The pages of a failure show what the machine showed last, to those who may look into the instance."""

import pytest
from playwright.sync_api import expect

from instances.models import Console, Instance
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db
SHOWN = "[  OK  ] Reached target cloud-init\n[FAILED] Mount /data <b>refused</b>\nvisa login:"


@pytest.fixture
def failed(facility: Facility) -> Instance:
    made = instance(facility, facility.ada, State.FAILED, message="After 15 minutes desktop did not answer.")
    Console.objects.create(instance=made, generation=made.generation, text=SHOWN)
    return made


@pytest.mark.parametrize("page", ["", "progress/"])
def test_those_who_may_inspect_it_read_it_as_it_was(
    facility: Facility, failed: Instance, signed_in: As, page: str
) -> None:
    for reader in (facility.ada, facility.ivy):
        text = signed_in(reader).get(f"/instances/{failed.pk}/{page}").content.decode()
        assert "Mount /data &lt;b&gt;refused&lt;/b&gt;" in text


def test_a_scientist_of_the_instrument_who_sees_that_it_is_there_reads_nothing_of_it(
    facility: Facility, failed: Instance, signed_in: As
) -> None:
    answer = signed_in(facility.sci).get(f"/instances/{failed.pk}/")
    assert answer.status_code == 200 and "refused" not in answer.content.decode()


def test_what_runs_again_shows_no_console(facility: Facility, failed: Instance, signed_in: As) -> None:
    Instance.objects.update(state=State.STARTING, generation=failed.generation + 1)
    assert "refused" not in signed_in(facility.ada).get(f"/instances/{failed.pk}/progress/").content.decode()


def test_it_unfolds_with_the_keyboard_and_is_copied(facility: Facility, failed: Instance, browse: Browse) -> None:
    page = browse(facility.ada)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/instances/{failed.pk}/progress/")
    text = page.locator("#console-text")
    expect(text).to_be_hidden()
    page.get_by_text("What the machine showed last").press("Enter")
    expect(text).to_have_text(SHOWN)
    page.get_by_role("button", name="Copy").press("Enter")
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == SHOWN
