"""The line and the quotas as people see them: before choosing, while waiting, and leaving it."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from auth.access import Role
from instances.models import Flavour, FlavourOffer, Instance, Quota
from instances.quotas import Scope
from instances.reconcile import queue as placing
from instances.services.launch import launch
from instances.services.start import start
from instances.states import Desired, Phase, State
from tests.facility import Facility, instance

from .conftest import As, Browse
from .test_accessibility import troubles
from .test_launch import form

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def busy(facility: Facility) -> Facility:
    """One A40, which Sci holds until tomorrow; Bob and Ada wait for it, Ada the longer. Quotas of all kinds."""
    facility.cloud.capacity |= {"memory_mb": 262144, "cores": 64, "gpus": {"A40": 1}}
    facility.cloud.save()
    FlavourOffer.objects.create(flavour=facility.big, cloud=facility.cloud)
    large = Flavour.objects.create(slug="l", name="Large", group="general", cores=32, memory_mb=65536)
    FlavourOffer.objects.create(flavour=large, cloud=facility.cloud)
    tomorrow = timezone.now() + timedelta(days=1)
    instance(facility, facility.sci, name="Tomography", flavour=facility.big, expires=tomorrow)
    Quota.objects.create(scope=Scope.PERSON, instances=5, cores=40, memory_mb=131072, gpus={"*": 2}, because="test")
    Quota.objects.create(scope=Scope.PROPOSAL, instances=6, gpus={"A40": 4}, because="test")
    Quota.objects.create(scope=Scope.ROLE, role=Role.INSTRUMENT_SCIENTIST, instances=9, because="test")
    return facility


def wait(facility: Facility, *people: str) -> list[Instance]:
    asked = {"experiments": [facility.running.pk], "environment": "desktop", "flavour": "gpu.a40", "display": {}}
    return [launch(acting_user=getattr(facility, who), name=f"Rings of {who}", **asked) for who in people]


def end(row: Instance) -> None:
    Instance.objects.filter(pk=row.pk).update(state=State.STOPPED, desired=Desired.STOPPED, phase=Phase.STOPPED)


def test_what_remains_is_shown_before_choosing(busy: Facility, browse: Browse) -> None:
    wait(busy, "ada")
    page = browse(busy.ada)
    page.goto("/new/")
    quota = page.get_by_role("region", name="Your quota")
    for words in ["1 of 5", "16 of 40", "32 of 128 GB", "1 of 2"]:
        expect(quota).to_contain_text(words)
    expect(page.get_by_role("region", name="The quota of HC-1")).to_contain_text("2 of 4")
    expect(page.get_by_role("radio", name="Large")).to_be_disabled()
    expect(page.get_by_text("Your quota leaves 24 cores.")).to_be_visible()
    page.get_by_role("radio", name="A40").check()
    page.get_by_role("checkbox", name="HC-1").uncheck()
    expect(page.get_by_role("region", name="The quota of HC-1")).to_be_hidden()
    expect(quota).to_be_visible()
    expect(page.get_by_role("radio", name="A40")).to_be_checked()


def test_hardware_that_a_chosen_experiment_s_quota_rules_out_is_greyed_at_once(busy: Facility, browse: Browse) -> None:
    Quota.objects.filter(scope=Scope.PROPOSAL).update(gpus={"A40": 1})
    page = browse(busy.ada)
    page.goto("/new/")
    expect(page.get_by_role("radio", name="A40")).to_be_disabled()
    expect(page.get_by_text("The quota of HC-1 leaves no A40 GPU.")).to_be_visible()
    page.get_by_role("checkbox", name="HC-1").uncheck()
    expect(page.get_by_role("radio", name="A40")).to_be_enabled()


def test_what_is_full_can_be_chosen_and_says_how_long_the_line_is(busy: Facility, browse: Browse) -> None:
    wait(busy, "bob")
    page = browse(busy.ada)
    page.goto("/new/")
    page.get_by_role("radio", name="A40").check()
    expect(page.get_by_text("Full now: you would be 2nd in line.")).to_be_visible()
    expect(page.locator("#why-gpu\\.a40")).to_contain_text(
        "No A40 is free now on this machine. The next ends its lifetime"
    )
    expect(page.locator(".summary-wait")).to_contain_text("It waits in line, 2nd")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("[aria-current=step]")).to_contain_text("2nd in line for an A40, 2 waiting")


def test_the_position_moves_while_one_looks_and_the_launch_goes_on_by_itself(busy: Facility, browse: Browse) -> None:
    ahead, mine = wait(busy, "bob", "ada")
    page = browse(busy.ada)
    page.goto(f"/instances/{mine.pk}/progress/")
    page.evaluate("window.stayed = true")
    step = page.locator("[aria-current=step]")
    expect(step).to_contain_text("2nd in line for an A40, 2 waiting")
    expect(step).to_contain_text("No A40 is free now")
    end(Instance.objects.get(name="Tomography"))
    assert placing.place() == 1
    expect(step).to_contain_text("1st in line for an A40")
    end(ahead)
    assert placing.place() == 1
    expect(step).to_contain_text("Room on This machine")
    assert page.evaluate("window.stayed")


def test_leaving_the_line_takes_one_click(busy: Facility, browse: Browse) -> None:
    (mine,) = wait(busy, "ada")
    page = browse(busy.ada)
    page.goto(f"/instances/{mine.pk}/progress/")
    page.get_by_role("button", name="Leave the line").click()
    expect(page.get_by_role("status").filter(has_text="is deleted")).to_be_visible()
    assert Instance.objects.get(pk=mine.pk).state == State.DELETED


def test_a_start_that_waits_goes_back_to_where_it_was(busy: Facility, browse: Browse) -> None:
    row = instance(busy, busy.ada, State.STOPPED, name="Kept", flavour=busy.big)
    start(row.pk, acting_user=busy.ada)
    page = browse(busy.ada)
    page.goto("/")
    card = page.locator(f"#card-{row.pk}")
    expect(card).to_contain_text("1st in line for an A40")
    card.get_by_label("More for Kept").click()
    card.get_by_role("button", name="Leave the line").click()
    expect(card).to_contain_text("Stopped")
    row.refresh_from_db()
    assert (row.state, row.waiting_since) == (State.STOPPED, None)


def test_leaving_works_without_scripts(busy: Facility, browse: Browse) -> None:
    (mine,) = wait(busy, "ada")
    page = browse(busy.ada, scripts=False)
    page.goto(f"/instances/{mine.pk}/progress/")
    page.get_by_role("button", name="Leave the line").click()
    expect(page.get_by_role("heading", name="Your instances")).to_be_visible()
    assert not Instance.objects.filter(waiting_since__isnull=False).exists()


def test_a_refusal_stands_beside_the_hardware_and_loses_nothing(busy: Facility, signed_in: As) -> None:
    Quota.objects.filter(scope=Scope.PERSON).update(instances=0)
    answer = signed_in(busy.ada).post("/new/", form(busy))
    page = answer.content.decode()
    assert answer.status_code == 422 and 'value="Night shift"' in page
    said = page.partition('id="error-flavour"')[2].partition("</p>")[0]
    assert "Your quota is 0 instances, and there are 0. Delete one first, or ask for more: the administrators" in said


def test_quotas_of_other_people_s_proposals_are_not_told(busy: Facility, signed_in: As) -> None:
    page = signed_in(busy.ada).get(f"/new/hardware/?experiments={busy.other.pk}").content.decode()
    assert "Your quota" in page and "HC-2" not in page


def test_staff_see_who_waits(busy: Facility, signed_in: As) -> None:
    wait(busy, "bob", "ada")
    page = signed_in(busy.ivy).get("/all/").content.decode()
    assert "1st in line for an A40" in page and "2nd in line for an A40" in page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_where_one_waits(busy: Facility, browse: Browse, dark: bool) -> None:
    (mine,) = wait(busy, "ada")
    page = browse(busy.ada, dark=dark)
    found = {}
    for address in ("/new/", "/", f"/instances/{mine.pk}/progress/", f"/instances/{mine.pk}/"):
        page.goto(address)
        found[address] = troubles(page)
    assert {address: trouble for address, trouble in found.items() if trouble} == {}
