"""The reconciler on a real database, against a cloud that fails, lies by omission, and dies in the middle."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from auth.models import AuditEvent
from instances.errors import ProviderError
from instances.models import Cloud, Instance
from instances.providers.base import Observed
from instances.reconcile import leases, sweep, watch, worker
from instances.reconcile.plan import MISSING_FOR, PATIENCE
from instances.services.delete import delete
from instances.services.launch import launch
from instances.services.start import start
from instances.services.stop import stop
from instances.states import Desired, Phase, State
from tests import facility as facilities
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(facility: Facility) -> Instance:
    return launch(
        acting_user=facility.ada,
        experiments=[facility.running.pk],
        environment="desktop",
        flavour="s",
        display={},
    )


def stop_it(cloud: ScriptedCloud, row: Instance) -> Instance:
    stop(row.pk, acting_user=row.owner)
    worker.reconcile(row.pk)
    cloud.rows.pop(row.key)
    return row


def state(row: Instance) -> tuple[str, str]:
    row.refresh_from_db()
    return row.state, row.desired


def test_a_launch_becomes_ready_and_every_step_is_told(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)
    assert state(asked) == (State.READY, Desired.RUNNING)
    assert [e.step for e in asked.events.all() if e.step] == ["queued", "placing", "creating", "ready"]
    assert [e.after for e in asked.events.all() if e.after] == ["starting", "ready"]
    assert list(AuditEvent.objects.values_list("action", "actor_name")) == [
        ("instance.launch", "Ada Lind"),
        ("instance.starting", "system"),
        ("instance.ready", "system"),
    ]


def test_a_report_is_expected_of_machines_that_phone_home_and_of_no_others(
    cloud: ScriptedCloud, asked: Instance, facility: Facility
) -> None:
    worker.reconcile(asked.pk)
    assert not asked.boots.exists()
    cloud.phones_home = True  # type: ignore[misc]
    start(stop_it(cloud, asked).pk, acting_user=facility.ada)
    worker.reconcile(asked.pk)
    assert [boot.generation for boot in asked.boots.all()] == [2]


def test_the_spec_carries_exactly_the_granted_folders_and_groups(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)
    (spec,) = cloud.specs
    assert [(mount.target.rsplit("/")[-1], mount.writable) for mount in spec.mounts] == [
        ("RAW_DATA", False),
        ("PROCESSED_DATA", True),
        ("SCRIPTS", True),
    ]
    running = asked.experiments.get()
    assert spec.owner.groups == (running.proposal.gid,)
    assert all(running.folder in mount.source for mount in spec.mounts)


def test_stopping_and_deleting_reach_the_cloud_and_wait_for_its_word(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)
    stop(asked.pk, acting_user=asked.owner)
    worker.reconcile(asked.pk)
    assert state(asked) == (State.STOPPED, Desired.STOPPED)
    assert asked.message == "Stopped by Ada Lind"
    delete(asked.pk, acting_user=asked.owner)
    worker.reconcile(asked.pk)
    assert state(asked) == (State.DELETED, Desired.DELETED)
    assert cloud.rows == {}


def test_a_start_that_its_cloud_held_up_for_long_is_not_given_up_the_moment_it_is_made(
    cloud: ScriptedCloud, asked: Instance
) -> None:
    def refuse(call: str) -> None:
        if call == "ensure":
            raise ProviderError("Try again later.", retry=True)

    starting = Observed(Phase.STARTING, 1)
    cloud.before = refuse
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "backoff", lambda failures: timedelta(minutes=1))
        worker.reconcile(asked.pk)
    assert state(asked) == (State.STARTING, Desired.RUNNING)
    Instance.objects.update(state_since=timezone.now() - PATIENCE * 2)
    cloud.before = lambda call: None
    cloud.rows[asked.key] = replace(starting, generation=0)
    cloud.after = lambda call: cloud.rows.update({asked.key: starting}) if call == "ensure" else None
    ready = threading.Timer(
        0.3, lambda: cloud.rows.update({asked.key: replace(starting, phase=Phase.RUNNING, apps=frozenset({"desktop"}))})
    )
    ready.start()
    worker.reconcile(asked.pk)
    assert state(asked) == (State.READY, Desired.RUNNING)
    assert "stop" not in cloud.calls


def test_a_worker_that_dies_after_the_cloud_acted_leads_to_adoption(cloud: ScriptedCloud, asked: Instance) -> None:
    def die(call: str) -> None:
        if call == "ensure":
            raise KeyboardInterrupt

    cloud.after = die
    with pytest.raises(KeyboardInterrupt):
        worker.reconcile(asked.pk)
    cloud.after = lambda call: None
    worker.reconcile(asked.pk)
    assert state(asked) == (State.READY, Desired.RUNNING)
    assert cloud.calls.count("ensure") == 1 and len(cloud.rows) == 1


def test_a_cloud_that_errs_makes_instances_unknown_and_deletes_none(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)

    def err(call: str) -> None:
        raise ProviderError("the cloud is silent", retry=True)

    cloud.before = err
    worker.reconcile(asked.pk)
    assert state(asked) == (State.UNKNOWN, Desired.RUNNING)
    cloud.before = lambda call: None
    worker.reconcile(asked.pk)
    assert state(asked) == (State.READY, Desired.RUNNING)
    assert "delete" not in cloud.calls


def test_what_can_never_work_fails_with_the_cloud_s_own_sentence(cloud: ScriptedCloud, asked: Instance) -> None:
    def refuse(call: str) -> None:
        if call == "ensure":
            raise ProviderError("The folder RAW_DATA is missing.", retry=False)

    cloud.before = refuse
    worker.reconcile(asked.pk)
    assert state(asked) == (State.FAILED, Desired.STOPPED)
    assert asked.message == "The folder RAW_DATA is missing."


def missing_for(row: Instance, time: timedelta) -> None:
    Instance.objects.filter(pk=row.pk).update(missing_since=timezone.now() - time)


def test_an_instance_that_vanished_is_shown_as_failed_and_not_made_again(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)
    cloud.rows.clear()
    watch.watch()
    worker.reconcile(asked.pk)
    assert state(asked) == (State.UNKNOWN, Desired.RUNNING)
    missing_for(asked, MISSING_FOR)
    worker.reconcile(asked.pk)
    assert state(asked) == (State.FAILED, Desired.STOPPED)
    assert cloud.rows == {}


@pytest.mark.parametrize("wish", ["run", "stop"])
def test_one_lying_answer_changes_nothing(cloud: ScriptedCloud, asked: Instance, wish: str) -> None:
    worker.reconcile(asked.pk)
    rows, cloud.rows = cloud.rows, {}
    if wish == "stop":
        stop(asked.pk, acting_user=asked.owner)
    worker.reconcile(asked.pk)
    assert state(asked)[0] == State.UNKNOWN and asked.phase == Phase.RUNNING
    cloud.rows = rows
    watch.watch()
    worker.reconcile(asked.pk)
    assert state(asked)[0] == {"run": State.READY, "stop": State.STOPPED}[wish]
    assert cloud.calls.count("ensure") == 1 and asked.absences == 0


def test_a_delete_reaches_the_cloud_even_when_it_lies_that_there_is_nothing(
    cloud: ScriptedCloud, asked: Instance
) -> None:
    worker.reconcile(asked.pk)
    lies = iter([True])
    honest = cloud.rows

    def lie_once(call: str) -> None:
        cloud.rows = {} if call == "observe" and next(lies, False) else honest

    cloud.before = lie_once
    delete(asked.pk, acting_user=asked.owner)
    worker.reconcile(asked.pk)
    assert state(asked) == (State.DELETED, Desired.DELETED)
    assert honest == {}


def test_a_desktop_that_ends_by_itself_is_shown_as_stopped(cloud: ScriptedCloud, asked: Instance) -> None:
    worker.reconcile(asked.pk)
    cloud.rows[asked.key] = Observed(Phase.STOPPED, 1, message="The session ended.")
    watch.watch()
    worker.reconcile(asked.pk)
    assert state(asked) == (State.STOPPED, Desired.STOPPED)
    assert asked.message == "The session ended."


def test_a_stop_during_a_launch_wins_over_the_launch(cloud: ScriptedCloud, asked: Instance) -> None:
    def stop_meanwhile(call: str) -> None:
        if call == "ensure":
            stop(asked.pk, acting_user=asked.owner)

    cloud.after = stop_meanwhile
    worker.reconcile(asked.pk)
    assert state(asked) == (State.STOPPED, Desired.STOPPED)
    assert cloud.rows[asked.key].phase is Phase.STOPPED


def test_a_delete_while_a_launch_is_given_up_wins(cloud: ScriptedCloud, asked: Instance) -> None:
    cloud.rows[asked.key] = Observed(Phase.STARTING, 1)
    long_ago = timezone.now() - 2 * PATIENCE
    Instance.objects.filter(pk=asked.pk).update(state=State.STARTING, state_since=long_ago)
    asked.events.update(at=long_ago)

    def delete_meanwhile(call: str) -> None:
        if call == "stop":
            delete(asked.pk, acting_user=asked.owner)

    cloud.after = delete_meanwhile
    worker.reconcile(asked.pk)
    assert state(asked) == (State.DELETED, Desired.DELETED)


def test_many_workers_make_one_instance_once(cloud: ScriptedCloud, asked: Instance) -> None:
    def work() -> None:
        try:
            worker.reconcile(asked.pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(asked) == (State.READY, Desired.RUNNING)
    assert cloud.calls.count("ensure") == 1


def test_a_dead_worker_s_lease_runs_out_and_the_sweep_wakes_another(cloud: ScriptedCloud, asked: Instance) -> None:
    Instance.objects.filter(pk=asked.pk).update(lease=asked.pk, lease_until=timezone.now() + leases.LENGTH)
    worker.reconcile(asked.pk)
    assert state(asked)[0] == State.QUEUED and sweep.sweep() == 0
    Instance.objects.filter(pk=asked.pk).update(lease_until=timezone.now())
    assert sweep.sweep() == 1
    worker.reconcile(asked.pk)
    assert state(asked)[0] == State.READY


def test_a_watch_writes_what_the_cloud_can_run_and_says_when_it_is_in_trouble(
    cloud: ScriptedCloud, facility: Facility
) -> None:
    watch.watch()
    row = Cloud.objects.get()
    assert row.observed_at and row.limits and row.limits.images == {"desktop"}

    def err(call: str) -> None:
        raise ProviderError("no answer", retry=True)

    cloud.before = err
    watch.watch()
    row.refresh_from_db()
    assert row.trouble == "no answer" and row.limits


def test_an_empty_list_makes_the_reconciler_ask_before_it_believes(cloud: ScriptedCloud, facility: Facility) -> None:
    row = facilities.instance(facility, facility.ada, observed_generation=1, apps_ready=["desktop"])
    cloud.rows[row.key] = Observed(Phase.RUNNING, 1, frozenset({"desktop"}))
    listed = cloud.rows
    cloud.rows = {}
    watch.watch()
    cloud.rows = listed
    worker.reconcile(row.pk)
    assert state(row) == (State.READY, Desired.RUNNING)
