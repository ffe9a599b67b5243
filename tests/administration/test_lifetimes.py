"""Rules of lifetime, requests and pins, as administrators handle them: with a reason, on the record, seen at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from auth.models import AuditEvent, User
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import ExtensionRequest, Instance, LifetimeRule, Mail
from instances.services.extend import ask_extension, decide_extension, extend, withdraw
from instances.services.keep import keep_running, pin, unpin
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
WHY = "The beamline needs it this week"


@pytest.fixture(autouse=True)
def usual(db: None) -> LifetimeRule:
    LifetimeRule.objects.all().delete()
    return LifetimeRule.objects.create(hours=336, idle_hours=96, delete_after_days=30, extend_times=2, extend_hours=168)


@pytest.fixture
def row(facility: Facility) -> Instance:
    User.objects.update(email="somebody@example.org")
    return instance(facility, facility.ada, name="Rings", expires=timezone.now() + 30 * HOUR)


def ask(facility: Facility, row: Instance, days: int = 40) -> ExtensionRequest:
    until = timezone.now() + timedelta(days=days)
    return ask_extension(row.pk, acting_user=facility.ada, until=until, because=WHY)


def test_the_owner_extends_as_often_as_the_rule_allows_and_then_is_told_what_to_do(
    facility: Facility, row: Instance
) -> None:
    for times in (1, 2):
        assert extend(row.pk, acting_user=facility.ada).extensions == times
    with pytest.raises(Conflict, match="2 times, as often as you may by yourself"):
        extend(row.pk, acting_user=facility.ada)
    row.refresh_from_db()
    assert abs(row.expires - timezone.now() - 366 * HOUR) < HOUR
    assert AuditEvent.objects.filter(action="instance.extend").count() == 2


def test_it_support_extends_without_using_the_owner_s_extensions_up(facility: Facility, row: Instance) -> None:
    for _ in range(3):
        extend(row.pk, acting_user=facility.eve)
    row.refresh_from_db()
    assert row.extensions == 0 and row.expires > timezone.now() + 500 * HOUR
    for other in (facility.bob, facility.sci, facility.aud):
        with pytest.raises((Denied, NotFound)):
            extend(row.pk, acting_user=other)


def test_administrators_hear_of_a_request_and_the_owner_of_the_decision(facility: Facility, row: Instance) -> None:
    request = ask(facility, row)
    with pytest.raises(Conflict, match="asked already"):
        ask(facility, row)
    assert Mail.objects.get(kind="extension_asked").to == facility.ivy
    decide_extension(request.pk, acting_user=facility.ivy, accept=True, comment="Fine")
    row.refresh_from_db()
    assert row.expires == request.until and row.extensions == 0
    told = Mail.objects.get(kind="extension_decided")
    assert told.to == facility.ada and told.facts["granted"] is True and told.facts["reason"] == "Fine"
    with pytest.raises(Conflict, match="accepted already"):
        decide_extension(request.pk, acting_user=facility.ivy, accept=False, comment="No")
    with pytest.raises(Conflict, match="accepted already"):
        withdraw(request.pk, acting_user=facility.ada)
    assert list(AuditEvent.objects.filter(action__startswith="extension").values_list("action", flat=True)) == [
        "extension.ask",
        "extension.accept",
    ]


def test_a_refusal_needs_its_reason_and_leaves_the_end_as_it_is(facility: Facility, row: Instance) -> None:
    request = ask(facility, row)
    with pytest.raises(Invalid, match="Say why"):
        decide_extension(request.pk, acting_user=facility.ivy, accept=False)
    decide_extension(request.pk, acting_user=facility.ivy, accept=False, comment="Others wait for this GPU")
    before, row = row.expires, Instance.objects.get(pk=row.pk)
    assert row.expires == before and "Others wait" in row.events.last().message
    ask(facility, row)


def test_nobody_but_an_administrator_decides_and_nobody_about_themselves(facility: Facility, row: Instance) -> None:
    request = ask(facility, row)
    for other in (facility.ada, facility.eve, facility.aud, facility.bob):
        with pytest.raises(Denied):
            decide_extension(request.pk, acting_user=other, accept=True)
    own = instance(facility, facility.ivy, expires=timezone.now() + HOUR)
    asked = ask_extension(own.pk, acting_user=facility.ivy, until=timezone.now() + 99 * HOUR, because=WHY)
    with pytest.raises(Denied, match="own request"):
        decide_extension(asked.pk, acting_user=facility.ivy, accept=True)


def test_a_request_is_taken_back_by_whoever_made_it_and_unknown_to_others(facility: Facility, row: Instance) -> None:
    request = ask(facility, row)
    with pytest.raises(NotFound, match="no such request"):
        withdraw(request.pk, acting_user=facility.bob)
    assert withdraw(request.pk, acting_user=facility.ada).state == "withdrawn"


def test_more_time_never_brings_an_earlier_end(facility: Facility, row: Instance) -> None:
    request = ask(facility, row)
    later = timezone.now() + timedelta(days=100)
    Instance.objects.filter(pk=row.pk).update(expires=later)
    decide_extension(request.pk, acting_user=facility.ivy, accept=True)
    row.refresh_from_db()
    assert row.expires == later


def test_keep_running_is_the_owner_s_and_ends_with_the_lifetime(facility: Facility, row: Instance) -> None:
    kept = keep_running(row.pk, acting_user=facility.ada, until=row.expires - HOUR)
    assert kept.keep_until == row.expires - HOUR
    with pytest.raises(Invalid, match="Extend it first"):
        keep_running(row.pk, acting_user=facility.ada, until=row.expires + HOUR)
    with pytest.raises(Denied):
        keep_running(row.pk, acting_user=facility.ivy, until=row.expires - HOUR)


def test_a_pin_has_a_reason_and_is_an_administrator_s(facility: Facility, row: Instance) -> None:
    with pytest.raises(Invalid):
        pin(row.pk, acting_user=facility.ivy, because="why not")
    for other in (facility.ada, facility.eve):
        with pytest.raises(Denied):
            pin(row.pk, acting_user=other, because=WHY)
    assert pin(row.pk, acting_user=facility.ivy, because=WHY).pinned == WHY
    assert unpin(row.pk, acting_user=facility.ivy, because=WHY).pinned == ""
    actions = AuditEvent.objects.filter(target=f"instance:{row.pk}").values_list("action", "because")
    assert list(actions) == [("instance.pin", WHY), ("instance.unpin", WHY)]


def rule_form(**changes: Any) -> dict[str, Any]:
    lengths = {"hours": "24", "idle_hours": "", "delete_after_days": "7", "extend_times": "0", "extend_hours": "24"}
    return {"role": "", "flavour": "gpu.a40", "because": "GPUs are scarce this winter", **lengths} | changes


def test_rules_are_added_changed_and_removed_on_the_record(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    new = reverse("instances:administration_lifetime_new")
    assert client.post(new, rule_form()).status_code == 302
    made = LifetimeRule.objects.get(flavour=facility.big)
    assert (made.hours, made.idle_hours, made.on_request) == (24, None, False)
    answer = client.post(new, rule_form())
    assert answer.status_code == 422 and "Change that one" in answer.content.decode()
    at = reverse("instances:administration_lifetime", args=[made.pk])
    assert client.post(at, rule_form(hours="48", on_request="yes")).status_code == 302
    made.refresh_from_db()
    assert made.hours == 48 and made.on_request
    remove = reverse("instances:administration_lifetime_remove", args=[made.pk])
    assert client.post(remove, {"because": "Winter is over at last"}).status_code == 302
    assert not LifetimeRule.objects.filter(pk=made.pk).exists()
    trail = AuditEvent.objects.filter(action__startswith="lifetime")
    assert [event.action for event in trail] == ["lifetime.set", "lifetime.set", "lifetime.remove"]
    assert trail[1].detail["before"]["hours"] == 24 and trail[1].detail["after"]["hours"] == 48


@pytest.mark.parametrize(
    ("field", "typed"), [("hours", "0"), ("hours", "soon"), ("extend_hours", ""), ("flavour", "x"), ("because", "x")]
)
def test_what_makes_no_sense_is_said_beside_its_field(
    facility: Facility, signed_in: As, field: str, typed: str
) -> None:
    answer = signed_in(facility.ivy).post(reverse("instances:administration_lifetime_new"), rule_form(**{field: typed}))
    assert answer.status_code == 422 and f'id="error-{field}"' in answer.content.decode()
    assert LifetimeRule.objects.count() == 1


def test_requests_that_wait_come_first(facility: Facility, row: Instance, signed_in: As) -> None:
    old = ask(facility, row)
    withdraw(old.pk, acting_user=facility.ada)
    other = instance(facility, facility.ada, name="Tomography", expires=timezone.now() + HOUR)
    ExtensionRequest.objects.create(
        instance=other, asked_by=facility.ada, until=old.until, because=WHY, asked=timezone.now() - 99 * HOUR
    )
    page = signed_in(facility.eve).get(reverse("instances:administration_requests")).content.decode()
    assert page.index("Tomography") < page.index("Rings") and "1 waits for an answer" in page


@pytest.mark.django_db(transaction=True)
def test_an_administrator_decides_in_the_browser(facility: Facility, row: Instance, browse: Browse) -> None:
    ask(facility, row)
    page = browse(facility.ivy)
    page.goto("/administration/requests/")
    page.get_by_role("link", name="Decide about Rings of Ada Lind").click()
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_text("Say why: they read it.")).to_be_visible()
    page.get_by_label("Comment").fill("Enough for the refinement")
    page.get_by_role("button", name="Give the time").click()
    expect(page.get_by_text("Ada Lind has time until")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Accepted")
    row.refresh_from_db()
    assert row.expires > timezone.now() + 39 * 24 * HOUR
