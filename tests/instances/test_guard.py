"""What a cloud is spared, across all workers: a rate, calls at once, and any call while it fails."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Cloud, Instance
from instances.providers.base import Observed
from instances.reconcile import guard, worker
from instances.services.launch import launch
from instances.states import Phase, State
from tests import facility as facilities
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)
SILENCE = ProviderError("It does not answer.", retry=True)


def leased(facility: Facility) -> Instance:
    return facilities.instance(
        facility, facility.ada, State.STARTING, lease=uuid4(), lease_until=timezone.now() + timedelta(minutes=1)
    )


def limit(**limits: float) -> None:
    Cloud.objects.update(**{"rate": 1000.0, "burst": 1000, "concurrency": 1000} | limits)


def test_many_workers_at_once_take_no_more_than_the_bucket_holds(facility: Facility) -> None:
    limit(rate=0.001, burst=5)
    rows = [leased(facility) for _ in range(12)]
    passed: list[int] = []

    def ask(row: Instance) -> None:
        try:
            with guard.permitted(row):
                passed.append(1)
        except guard.Held as held:
            assert held.pause > guard.AHEAD
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 5


def test_a_token_that_comes_soon_is_waited_for(facility: Facility) -> None:
    limit(rate=2.0, burst=1)
    first, second = leased(facility), leased(facility)
    with guard.permitted(first) as wait:
        assert wait == timedelta()
    with guard.permitted(second) as wait:
        assert timedelta(seconds=0.3) < wait <= timedelta(seconds=0.5)


def test_so_many_calls_are_under_way_at_once_and_no_more(facility: Facility) -> None:
    limit(concurrency=2)
    rows = [leased(facility) for _ in range(3)]
    busy = pytest.raises(guard.Held, match="busy")
    with guard.permitted(rows[0]), guard.permitted(rows[1]), busy, guard.permitted(rows[2]):
        pass
    guard.give_back(rows[1])
    with guard.permitted(rows[2]):
        pass


def test_a_call_that_fails_gives_its_place_back(facility: Facility) -> None:
    limit(concurrency=1)
    first, second = leased(facility), leased(facility)
    with pytest.raises(ProviderError), guard.permitted(first):
        raise SILENCE
    with guard.permitted(second):
        pass


def test_a_worker_that_died_in_a_call_keeps_nobody_s_place_for_long(facility: Facility) -> None:
    limit(concurrency=1)
    dead, alive = leased(facility), leased(facility)
    Instance.objects.filter(pk=dead.pk).update(acting=True, lease_until=timezone.now() - timedelta(seconds=1))
    with guard.permitted(alive):
        pass


def test_a_cloud_in_doubt_is_asked_to_change_nothing(facility: Facility) -> None:
    Cloud.objects.update(doubt="Much is missing.")
    with pytest.raises(guard.Held, match="missing"), guard.permitted(leased(facility)):
        pass


def test_after_some_failures_in_a_row_a_cloud_is_left_alone_then_one_call_tries(facility: Facility) -> None:
    cloud = facility.cloud
    for _ in range(guard.THRESHOLD):
        guard.check(cloud)
        guard.failed(cloud, SILENCE)
        cloud.refresh_from_db()
    with pytest.raises(guard.Held) as held:
        guard.check(cloud)
    assert timedelta() < held.value.pause <= guard.FIRST * 1.2

    Cloud.objects.update(closed_until=timezone.now() - timedelta(seconds=1))
    cloud.refresh_from_db()
    same = Cloud.objects.get()
    guard.check(cloud)
    with pytest.raises(guard.Held):
        guard.check(same)
    guard.failed(cloud, SILENCE)
    longer = Cloud.objects.get()
    assert longer.closed_until and longer.closed_until - timezone.now() > guard.FIRST * 1.2

    guard.answered(longer)
    guard.check(Cloud.objects.get())
    assert Cloud.objects.get().failures == 0


def test_what_can_never_work_is_an_answer_and_no_failure(facility: Facility) -> None:
    Cloud.objects.update(failures=guard.THRESHOLD - 1)
    cloud = Cloud.objects.get()
    guard.failed(cloud, ProviderError("There is no such image.", retry=False))
    assert Cloud.objects.get().failures == 0


def test_a_failing_cloud_is_not_asked_for_every_instance_and_goes_on_when_it_answers(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    def refuse(call: str) -> None:
        raise SILENCE

    asked = [
        launch(
            acting_user=facility.ada, experiments=[facility.running.pk], environment="desktop", flavour="s", display={}
        )
        for _ in range(guard.THRESHOLD + 3)
    ]
    cloud.before = refuse
    for row in asked:
        worker.reconcile(row.pk)
    assert guard.THRESHOLD <= len(cloud.calls) <= guard.THRESHOLD + 3
    assert not Instance.objects.filter(state__in=[State.FAILED, State.DELETED]).exists()

    cloud.before = lambda call: None
    Cloud.objects.update(closed_until=timezone.now() - timedelta(seconds=1))
    for row in asked:
        worker.reconcile(row.pk)
    assert {row.state for row in Instance.objects.all()} == {State.READY}


def test_an_error_that_nobody_foresaw_is_tried_again_and_breaks_nothing(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    row = facilities.instance(facility, facility.ada, observed_generation=1, apps_ready=["desktop"])

    def explode(call: str) -> None:
        raise ZeroDivisionError

    cloud.before = explode
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert (row.state, row.lease, row.acting) == (State.UNKNOWN, None, False)
    assert row.failures > 1 and row.due > timezone.now()
    cloud.before = lambda call: None
    cloud.rows[row.key] = Observed(Phase.RUNNING, 1, frozenset({"desktop"}))
    Cloud.objects.update(closed_until=timezone.now())
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert row.state == State.READY
