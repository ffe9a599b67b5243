"""When a right ends, what hangs on it ends: the row at once, the mounts as soon as the cloud does it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from auth import rights
from auth.access import Role
from auth.data import Part
from auth.models import AuditEvent, Participation, RoleGrant, User
from instances.errors import Denied
from instances.models import Instance
from instances.policy import Action, may
from instances.reconcile import worker
from instances.services import rights as service
from instances.services.connect import connect
from instances.services.launch import launch
from instances.services.visibility import facts
from instances.states import Desired, Phase, State
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)


def run(user: User, *experiments: Any, cloud: ScriptedCloud) -> Instance:
    """Launched and ready."""
    made = launch(
        acting_user=user,
        experiments=[experiment.pk for experiment in experiments],
        environment="desktop",
        flavour="s",
        display={},
    )
    worker.reconcile(made.pk)
    made.refresh_from_db()
    assert made.state == State.READY
    return made


def leave(user: User, experiment: Any) -> None:
    """What a catalogue's sync does: the row goes, and it is said in the same transaction."""
    with transaction.atomic():
        Participation.objects.filter(user=user, experiment=experiment).delete()
        rights.announce(users=[user.pk], because=f"your part in {experiment.proposal} has ended")


@pytest.fixture
def both(facility: Facility) -> Facility:
    """Ada takes part in HC-2 as well."""
    facility.other.participations.create(user=facility.ada, part=Part.PARTICIPANT, source="catalogue:test")
    return facility


@pytest.fixture
def policy_stop(settings: Any) -> Iterator[None]:
    settings.LOST_ACCESS = "stop"
    yield


def mounted(cloud: ScriptedCloud) -> set[str]:
    return {mount.target.split("/")[3] for mount in cloud.specs[-1].mounts}


def test_whoever_leaves_one_of_two_experiments_goes_on_with_the_other(both: Facility, cloud: ScriptedCloud) -> None:
    row = run(both.ada, both.running, both.other, cloud=cloud)
    assert mounted(cloud) == {"hc-1", "hc-2"}
    leave(both.ada, both.running)
    row.refresh_from_db()
    assert (row.state, row.generation) == (State.RESTARTING, 2)
    assert "not on the team of HC-1" in row.withheld and "starts anew without that data" in row.message
    with pytest.raises(Denied, match="not on the team of HC-1"):
        connect(row.pk, acting_user=both.ada, app="desktop")
    cloud.rows.clear()  # the scripted cloud keeps what it has; a real one replaces it
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert (row.state, row.withheld) == (State.READY, "")
    assert mounted(cloud) == {"hc-2"} and {grant["proposal"] for grant in row.grants} == {"HC-2"}
    connect(row.pk, acting_user=both.ada, app="desktop")


def test_whoever_loses_everything_finds_it_stopped(facility: Facility, cloud: ScriptedCloud) -> None:
    row = run(facility.bob, facility.running, cloud=cloud)
    leave(facility.bob, facility.running)
    row.refresh_from_db()
    assert (row.state, row.desired) == (State.STOPPING, Desired.STOPPED)
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert (row.state, row.withheld, row.grants) == (State.STOPPED, "", [])
    assert "being stopped; your files in its home are kept" in row.message
    withheld = AuditEvent.objects.get(action="instance.withhold")
    assert withheld.actor is None and "HC-1" in withheld.because
    assert {lost["path"].rsplit("/")[-1] for lost in withheld.detail["lost"]} == {
        "RAW_DATA",
        "PROCESSED_DATA",
        "SCRIPTS",
    }


def test_a_site_may_stop_instead_of_starting_anew(both: Facility, cloud: ScriptedCloud, policy_stop: None) -> None:
    row = run(both.ada, both.running, both.other, cloud=cloud)
    leave(both.ada, both.running)
    row.refresh_from_db()
    assert row.state == State.STOPPING


def test_what_was_rolled_back_ends_nothing(facility: Facility, cloud: ScriptedCloud) -> None:
    row = run(facility.bob, facility.running, cloud=cloud)
    with pytest.raises(RuntimeError), transaction.atomic():
        leave(facility.bob, facility.running)
        raise RuntimeError
    row.refresh_from_db()
    assert (row.state, row.withheld) == (State.READY, "")


def test_a_change_that_takes_nothing_away_disturbs_nobody(facility: Facility, cloud: ScriptedCloud) -> None:
    row = run(facility.bob, facility.running, cloud=cloud)
    leave(facility.ada, facility.running)
    with transaction.atomic():
        rights.announce(users=[facility.bob.pk], proposals=[facility.running.proposal_id], because="looked again")
    row.refresh_from_db()
    assert (row.state, row.generation) == (State.READY, 1)
    assert not AuditEvent.objects.filter(action="instance.withhold").exists()


def test_an_embargo_that_begins_ends_what_showed_open_data(both: Facility, cloud: ScriptedCloud) -> None:
    row = run(both.bob, both.running, both.open, cloud=cloud)
    assert mounted(cloud) == {"hc-1", "es-3"}
    with transaction.atomic():
        both.open.proposal.released = timezone.now().date() + timedelta(days=90)
        both.open.proposal.save()
        rights.announce(proposals=[both.open.proposal_id], because="the release of ES-3 has changed")
    row.refresh_from_db()
    assert row.state == State.RESTARTING and "embargo" in row.withheld


def test_what_became_read_only_is_mounted_anew(both: Facility, cloud: ScriptedCloud) -> None:
    both.running.participations.create(user=both.sci, part=Part.PARTICIPANT, source="catalogue:test")
    row = run(both.sci, both.running, cloud=cloud)
    assert any(mount.writable for mount in cloud.specs[-1].mounts)
    leave(both.sci, both.running)
    row.refresh_from_db()
    assert row.state == State.RESTARTING
    cloud.rows.clear()
    worker.reconcile(row.pk)
    assert not any(mount.writable for mount in cloud.specs[-1].mounts)


def test_while_the_cloud_is_silent_nobody_gets_in_and_nothing_is_thought_gone(
    facility: Facility,
    cloud: ScriptedCloud,
) -> None:
    row = run(facility.bob, facility.running, cloud=cloud)
    Instance.objects.filter(pk=row.pk).update(state=State.UNKNOWN)
    leave(facility.bob, facility.running)
    row.refresh_from_db()
    assert (row.state, row.desired) == (State.UNKNOWN, Desired.STOPPED) and row.withheld
    with pytest.raises(Denied):
        connect(row.pk, acting_user=facility.bob, app="desktop")
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert (row.state, row.withheld) == (State.STOPPED, "")


@pytest.mark.parametrize("state", [State.QUEUED, State.STARTING, State.RESTARTING])
def test_a_launch_under_way_is_led_to_what_remains(both: Facility, cloud: ScriptedCloud, state: State) -> None:
    row = run(both.ada, both.running, both.other, cloud=cloud)
    Instance.objects.filter(pk=row.pk).update(state=state)
    leave(both.ada, both.running)
    row.refresh_from_db()
    assert (row.state, row.generation) == (state, 2)
    cloud.rows.clear()
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert row.state == State.READY and mounted(cloud) == {"hc-2"} and not row.withheld


def test_a_right_that_ended_between_launch_and_start_mounts_nothing(facility: Facility, cloud: ScriptedCloud) -> None:
    made = launch(
        acting_user=facility.bob, experiments=[facility.running.pk], environment="desktop", flavour="s", display={}
    )
    Participation.objects.filter(user=facility.bob).delete()  # committed after the launch had asked, and told before it
    worker.reconcile(made.pk)
    made.refresh_from_db()
    assert made.state == State.FAILED and "not on the team of HC-1" in made.message
    assert not cloud.specs


def test_a_grant_ends_on_its_day_after_a_warning(facility: Facility, cloud: ScriptedCloud) -> None:
    Participation.objects.filter(user=facility.bob).update(part=Part.LOCAL_CONTACT)
    row = run(facility.bob, facility.running, cloud=cloud)
    assert row.entitled_until == facility.running.end + timedelta(days=30)
    assert service.sweep() == 0 and not row.events.filter(message__contains="ends on").exists()

    end_in(facility, timedelta(hours=20))
    row.refresh_from_db()
    assert row.state == State.READY
    for _ in range(2):
        assert service.sweep() == 0
    (warning,) = row.events.filter(message__contains="ends on")
    assert warning.message.startswith("Access to HC-1 ends on")

    end_in(facility, timedelta(seconds=-1), told=False)
    Instance.objects.filter(pk=row.pk).update(entitled_until=timezone.now())
    assert service.sweep() == 1
    row.refresh_from_db()
    assert row.state == State.STOPPING


def end_in(facility: Facility, left: timedelta, *, told: bool = True) -> None:
    """Move the beam time so that a local contact's window ends so."""
    experiment = facility.running
    experiment.end = timezone.now() + left - timedelta(days=30)
    experiment.save()
    with transaction.atomic():
        rights.announce(proposals=[experiment.proposal_id] if told else [], because="the beam time was moved")


def test_what_an_administrator_s_grant_opened_ends_with_it(facility: Facility, cloud: ScriptedCloud) -> None:
    eve = facility.eve
    grant = RoleGrant.objects.create(
        user=eve, role=Role.LOCAL_CONTACT, experiment=facility.running, because="for the night", source="person:1"
    )
    row = run(eve, facility.running, cloud=cloud)
    with transaction.atomic():
        RoleGrant.objects.filter(pk=grant.pk).update(until=timezone.now())
        rights.announce(users=[eve.pk], because="your role has ended")
    row.refresh_from_db()
    assert row.state == State.STOPPING and row.withheld


def test_rights_that_came_through_a_linked_identity_end_with_the_link(
    facility: Facility,
    cloud: ScriptedCloud,
) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.eve)
    row = run(facility.eve, facility.running, cloud=cloud)
    with transaction.atomic():
        User.objects.filter(pk=facility.bob.pk).update(linked_to=None)
        rights.announce(users=[facility.eve.pk, facility.bob.pk], because="an identity was unlinked")
    row.refresh_from_db()
    assert row.state == State.STOPPING


def test_a_part_lost_by_a_linked_identity_reaches_what_the_account_runs(
    facility: Facility,
    cloud: ScriptedCloud,
) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.eve)
    row = run(facility.eve, facility.running, cloud=cloud)
    leave(facility.bob, facility.running)
    row.refresh_from_db()
    assert row.state == State.STOPPING


def test_rights_are_announced_inside_a_transaction_or_not_at_all() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        rights.announce(users=[1], because="x")


@pytest.mark.parametrize(
    ("had", "has", "lost"),
    [
        ("read", "read", False),
        ("read", "read-write", False),
        ("read-write", "read", True),
        ("read", None, True),
    ],
)
def test_less_than_before_is_a_loss(had: str, has: str | None, lost: bool) -> None:
    from auth.data import DataGrant, Mode

    now = [DataGrant("a", Mode(has), "", 1, "P")] if has else []
    assert bool(service.lost_of([{"path": "a", "mode": had}], now)) is lost


def test_withheld_denies_looking_in_and_nothing_else(facility: Facility, cloud: ScriptedCloud) -> None:
    row = run(facility.bob, facility.running, cloud=cloud)
    row.withheld = "Your part has ended."
    actor = facility.bob.as_actor(at=datetime.now(UTC))
    for action in (Action.WATCH, Action.CONTROL):
        assert may(actor, action, facts(row)).because == "Your part has ended."
    for action in (Action.SEE, Action.STOP, Action.DELETE, Action.RENAME):
        assert may(actor, action, facts(row))
    assert row.phase == Phase.RUNNING
