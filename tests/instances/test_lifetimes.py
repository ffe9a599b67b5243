"""Time passes: warned by mail and in the timeline, stopped, deleted, by the portal itself and on the record."""

import threading
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from auth.access import Role
from auth.models import AuditEvent, RoleGrant, User
from instances.models import Connection, Instance, LifetimeRule, Load, Mail
from instances.models.mail import Kind
from instances.reconcile import lifetimes
from instances.services import lifetimes as rules
from instances.services.extend import extend
from instances.services.start import start
from instances.states import Desired, Phase, State
from tests.facility import Facility, instance

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def usual(db: None) -> LifetimeRule:
    LifetimeRule.objects.all().delete()
    return LifetimeRule.objects.create(hours=336, idle_hours=96, delete_after_days=30, extend_times=2, extend_hours=168)


@pytest.fixture(autouse=True)
def mail_server(settings: Any) -> None:
    settings.SENDS_MAIL = True
    User.objects.update(email="somebody@example.org")


def running(facility: Facility, **fields: Any) -> Instance:
    """Worked in a moment ago, and its cloud says how hard it works."""
    now = timezone.now()
    wanted = {"expires": now + 300 * HOUR, "active_at": now, "state_since": now - 400 * HOUR} | fields
    row = instance(facility, facility.ada, **wanted)
    load, _ = Load.objects.get_or_create(cloud=facility.cloud)
    load.at, load.seconds = now, load.seconds | {row.key: 10.0}
    load.save()
    return row


def later(row: Instance, passed: timedelta) -> None:
    """As if so much time had passed for this instance."""
    row.refresh_from_db()
    for field in ("state_since", "expires", "active_at", "keep_until"):
        if at := getattr(row, field):
            setattr(row, field, at - passed)
    for given in row.warnings.values():
        given |= {name: (datetime.fromisoformat(given[name]) - passed).isoformat() for name in given.keys() - {"last"}}
    row.review_at = timezone.now()
    row.save()


def mails(kind: Kind) -> list[Mail]:
    return list(Mail.objects.filter(kind=kind).order_by("created"))


def test_the_whole_ladder_of_a_lifetime(facility: Facility) -> None:
    row = running(facility)
    Instance.objects.filter(pk=row.pk).update(expires=None)
    lifetimes.sweep()
    row.refresh_from_db()
    assert abs(row.expires - timezone.now() - 336 * HOUR) < timedelta(minutes=1)

    LifetimeRule.objects.update(idle_hours=None)
    for passed, warned in [(288 * HOUR, 1), (24 * HOUR, 2)]:
        later(row, passed)
        assert lifetimes.sweep() == 1
        assert len(mails(Kind.EXPIRY_WARNING)) == warned
        row.refresh_from_db()
        assert row.warnings["lifetime"]["last"] is (warned == 2) and row.state == State.READY
    later(row, 23 * HOUR)
    assert lifetimes.sweep() == 0
    later(row, 2 * HOUR)
    assert lifetimes.sweep() == 1
    row.refresh_from_db()
    assert (row.state, row.desired) == (State.STOPPING, Desired.STOPPED)
    assert row.message.startswith("Its lifetime ended on") and row.warnings == {}
    event = AuditEvent.objects.get(action="instance.expire")
    assert event.actor_id is None and event.because == row.message

    Instance.objects.filter(pk=row.pk).update(state=State.STOPPED, phase=Phase.STOPPED, state_since=timezone.now())
    for passed in (673 * HOUR, 24 * HOUR):
        later(row, passed)
        assert lifetimes.sweep() == 1
    assert len(mails(Kind.DELETION_WARNING)) == 2
    later(row, 24 * HOUR)
    assert lifetimes.sweep() == 1
    row.refresh_from_db()
    assert (row.state, row.desired) == (State.DELETING, Desired.DELETED)
    assert "It had been stopped since" in row.message


def test_what_nobody_works_in_is_warned_of_and_stopped(facility: Facility) -> None:
    row = running(facility, active_at=timezone.now() - 73 * HOUR)
    assert lifetimes.sweep() == 1
    (told,) = mails(Kind.IDLE_WARNING)
    assert told.to == facility.ada and told.facts["since"]
    assert "Nothing has happened in it since" in row.events.last().message
    later(row, 25 * HOUR)
    assert lifetimes.sweep() == 1
    row.refresh_from_db()
    assert row.state == State.STOPPING and "Nothing had happened in it" in row.message


def test_somebody_s_input_takes_the_warning_back(facility: Facility) -> None:
    row = running(facility, active_at=timezone.now() - 73 * HOUR)
    lifetimes.sweep()
    Connection.objects.create(user=facility.ada, instance=row, app="desktop", mode="control", input_at=timezone.now())
    Instance.objects.update(review_at=timezone.now())
    lifetimes.sweep()
    row.refresh_from_db()
    assert row.warnings == {} and row.active_at > timezone.now() - HOUR


def test_an_open_tab_without_input_is_no_activity(facility: Facility) -> None:
    row = running(facility, active_at=timezone.now() - 73 * HOUR)
    Connection.objects.create(user=facility.ada, instance=row, app="desktop", mode="control", bytes_out=10**9)
    assert lifetimes.sweep() == 1
    row.refresh_from_db()
    assert "idle" in row.warnings


@pytest.mark.parametrize("load", ["missing", "old", "of others"])
def test_what_is_not_known_to_be_idle_is_not(facility: Facility, load: str) -> None:
    row = running(facility, active_at=timezone.now() - 200 * HOUR)
    if load == "missing":
        Load.objects.all().delete()
    elif load == "old":
        Load.objects.update(at=timezone.now() - HOUR)
    else:
        Load.objects.update(seconds={})
    assert lifetimes.sweep() == 0
    row.refresh_from_db()
    assert row.warnings == {} and row.review_at <= timezone.now() + timedelta(minutes=5)


def test_a_notebook_server_that_does_not_answer_is_not_idle(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = running(facility, active_at=timezone.now() - 200 * HOUR, environment=facility.jupyter)
    monkeypatch.setattr(lifetimes, "provider_for", lambda cloud: None)
    for answer, warned in [(None, False), (timezone.now(), False), (timezone.now() - 300 * HOUR, True)]:
        monkeypatch.setattr(lifetimes.kernels, "last_active", lambda provider, key, now, found=answer: found)
        Instance.objects.update(review_at=timezone.now(), active_at=timezone.now() - 200 * HOUR)
        assert lifetimes.sweep() == warned
    row.refresh_from_db()
    assert "idle" in row.warnings


def test_no_more_than_a_few_servers_are_asked_in_one_sweep(facility: Facility, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for _ in range(lifetimes.ASKED + 3):
        running(facility, active_at=timezone.now() - 200 * HOUR, environment=facility.jupyter)
    monkeypatch.setattr(lifetimes, "provider_for", lambda cloud: None)
    monkeypatch.setattr(lifetimes.kernels, "last_active", lambda provider, key, now: asked.append(key))
    lifetimes.sweep()
    assert len(asked) == lifetimes.ASKED


@pytest.mark.parametrize("fields", [{"pinned": "It serves the beamline"}, {"state": State.UNKNOWN}])
def test_the_pinned_and_the_unknown_are_left_alone(facility: Facility, fields: dict[str, Any]) -> None:
    row = running(facility, expires=timezone.now() - 500 * HOUR, active_at=timezone.now() - 500 * HOUR, **fields)
    assert lifetimes.sweep() == 0
    row.refresh_from_db()
    assert row.state == fields.get("state", State.READY) and row.warnings == {}


def test_staff_live_longer_and_hardware_s_own_rule_comes_first(facility: Facility) -> None:
    staff = LifetimeRule.objects.create(role=Role.INSTRUMENT_SCIENTIST, hours=1440)
    gpu = LifetimeRule.objects.create(flavour=facility.big, hours=24)
    everybody = LifetimeRule.objects.get(flavour=None, role="")
    found = rules.all_rules()
    small, big = facility.small.pk, facility.big.pk
    assert rules.rule_for(small, (), found) == everybody
    assert rules.rule_for(small, (Role.INSTRUMENT_SCIENTIST,), found) == staff
    assert rules.rule_for(big, (Role.INSTRUMENT_SCIENTIST,), found) == gpu
    assert rules.rule_for(small, (), [staff]) is None
    without_end = LifetimeRule(role=Role.LOCAL_CONTACT)
    assert rules.rule_for(small, (Role.INSTRUMENT_SCIENTIST, Role.LOCAL_CONTACT), [*found, without_end]) is without_end


def test_roles_of_many_people_are_those_of_each(facility: Facility, django_assert_num_queries: Any) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    RoleGrant.objects.create(user=facility.bob, role=Role.IT_SUPPORT, because="test", source="test")
    people = [facility.ada, facility.bob, facility.sci, facility.eve]
    with django_assert_num_queries(2):
        found = rules.roles_of({person.pk for person in people}, timezone.now())
    for person in people:
        assert found[person.pk] == User.objects.get(pk=person.pk).as_actor().roles


def test_a_sweep_costs_the_same_number_of_queries_for_many(
    facility: Facility, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        running(facility)
    with django_assert_max_num_queries(14):
        lifetimes.sweep()
    assert not Instance.objects.filter(review_at__lte=timezone.now() + HOUR).exists()


@pytest.mark.django_db(transaction=True)
def test_of_several_workers_one_warns(facility: Facility) -> None:
    rows = [running(facility, active_at=timezone.now() - 80 * HOUR) for _ in range(6)]

    def work() -> None:
        try:
            lifetimes.sweep()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mails(Kind.IDLE_WARNING)) == len(rows)
    assert AuditEvent.objects.filter(action="instance.warn").count() == len(rows)


def test_an_extension_at_the_last_moment_is_not_overtaken(facility: Facility) -> None:
    row = running(facility, expires=timezone.now() + HOUR)
    lifetimes.sweep()
    later(row, 30 * HOUR)
    found = list(lifetimes.judge(lifetimes.rows().filter(pk=row.pk), timezone.now()))
    assert found[0].outlook.due and found[0].outlook.due.act == "stop"
    extend(row.pk, acting_user=facility.ada)
    assert not lifetimes._act(found[0], timezone.now())
    row.refresh_from_db()
    assert row.state == State.READY and row.warnings == {}


def test_starting_after_the_end_uses_an_extension_up_or_says_whom_to_ask(facility: Facility) -> None:
    row = instance(facility, facility.ada, State.STOPPED, expires=timezone.now() - HOUR, extensions=1)
    start(row.pk, acting_user=facility.ada)
    row.refresh_from_db()
    assert row.extensions == 2 and row.expires > timezone.now() + 160 * HOUR


def test_the_dry_run_says_who_what_when_and_why_and_changes_nothing(facility: Facility) -> None:
    running(facility, name="Rings", active_at=timezone.now() - 80 * HOUR)
    running(facility, name="Soon", expires=timezone.now() + 30 * HOUR)
    running(facility, name="Far")
    before = list(Instance.objects.order_by("pk").values())
    said = StringIO()
    call_command("expire", "--dry-run", stdout=said)
    lines = said.getvalue().splitlines()
    assert lines[0].split() == ["who", "instance", "what", "when", "why"]
    assert any("Ada Lind (ada)" in line and "Rings" in line and "warn" in line and "now" in line for line in lines)
    assert any("Soon" in line and "Its lifetime ends on" in line for line in lines)
    assert not any("Far" in line for line in lines)
    assert list(Instance.objects.order_by("pk").values()) == before
    assert not Mail.objects.exists() and not AuditEvent.objects.filter(action__startswith="instance").exists()
    call_command("expire", stdout=said)
    assert "2 done." in said.getvalue()
    assert len(mails(Kind.IDLE_WARNING)) == 1 and len(mails(Kind.EXPIRY_WARNING)) == 1
