"""One list per cloud and tick: what moved is written, what is missing is proven, what cannot be true is doubted."""

import threading
from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from auth.audit import first_broken_link
from auth.models import AuditEvent
from instances.errors import ProviderError
from instances.models import Cloud, Instance
from instances.models.mail import Mail
from instances.providers.base import Observed
from instances.reconcile import sweep, watch, worker
from instances.reconcile.plan import DOUBTED, MISSING_FOR
from instances.services.clouds import believe
from instances.services.delete import delete
from instances.states import Desired, Phase, State
from tests import facility as facilities
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)
DESKTOP = frozenset({"desktop"})


def running(facility: Facility, cloud: ScriptedCloud, count: int) -> list[Instance]:
    facts = {"observed_generation": 1, "apps_ready": ["desktop"]}
    rows = [facilities.instance(facility, facility.ada, **facts) for _ in range(count)]
    Instance.objects.update(state_since=timezone.now() - timedelta(hours=1))
    for row in rows:
        cloud.rows[row.key] = Observed(Phase.RUNNING, 1, DESKTOP)
    return rows


def states() -> set[str]:
    return set(Instance.objects.values_list("state", flat=True))


def work_off() -> None:
    """What the jobs would do, one after the other."""
    for _ in range(3):
        Instance.objects.update(due=timezone.now())
        sweep.sweep()
        for pk in woken():
            worker.reconcile(pk)


def woken() -> Iterable[object]:
    jobs = ProcrastinateJob.objects.filter(task_name="instances.reconcile", status="todo")
    keys = [job.args["instance_id"] for job in jobs]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'instances.reconcile'")
    return Instance.objects.filter(pk__in=keys).values_list("pk", flat=True)


@pytest.mark.parametrize("storm", ["an empty list", "404 for each", "no answer at all"])
def test_a_storm_over_all_instances_deletes_none_of_them_and_passes(
    facility: Facility, cloud: ScriptedCloud, storm: str
) -> None:
    running(facility, cloud, 50)
    watch.watch()
    assert states() == {State.READY}
    there = cloud.rows

    def silent(call: str) -> None:
        raise ProviderError("It does not answer.", retry=True)

    if storm == "no answer at all":
        cloud.before = silent
        Cloud.objects.update(observed_at=timezone.now() - timedelta(hours=1))
    else:
        cloud.rows = {}
    for _ in range(3):
        watch.watch()
        Instance.objects.exclude(missing_since=None).update(missing_since=timezone.now() - MISSING_FOR)
        work_off()
    assert states() == {State.UNKNOWN}
    assert set(Instance.objects.values_list("phase", "desired")) == {(Phase.RUNNING, Desired.RUNNING)}
    alerts = AuditEvent.objects.filter(action__in=["cloud.doubted", "cloud.silent"])
    assert alerts.count() == 1
    told = Mail.objects.filter(kind="alert", to=facility.ivy).count()
    assert told == (0 if storm == "no answer at all" else 1)
    assert not {"delete", "stop", "ensure"} & set(cloud.calls)

    cloud.rows, cloud.before = there, lambda call: None
    Cloud.objects.update(closed_until=timezone.now())
    watch.watch()
    work_off()
    assert states() == {State.READY}
    assert Cloud.objects.get().doubt == Cloud.objects.get().trouble == ""
    assert not {"delete", "stop", "ensure"} & set(cloud.calls)
    assert first_broken_link() is None


def test_in_doubt_not_even_a_wish_to_delete_is_carried_out(facility: Facility, cloud: ScriptedCloud) -> None:
    rows = running(facility, cloud, 10)
    watch.watch()
    there, cloud.rows = cloud.rows, {}
    watch.watch()
    delete(rows[0].pk, acting_user=facility.ada)
    worker.reconcile(rows[0].pk)
    rows[0].refresh_from_db()
    assert (rows[0].state, rows[0].desired, rows[0].message) == (State.UNKNOWN, Desired.DELETED, DOUBTED)
    cloud.rows = there
    watch.watch()
    work_off()
    rows[0].refresh_from_db()
    assert rows[0].state == State.DELETED and rows[0].key not in cloud.rows
    assert states() == {State.READY, State.DELETED}


def test_an_administrator_can_vouch_that_they_are_gone(facility: Facility, cloud: ScriptedCloud) -> None:
    running(facility, cloud, 5)
    watch.watch()
    cloud.rows = {}
    watch.watch()
    assert believe(facility.cloud.pk, acting_user=facility.ivy, because="The machine room burnt down.") == 5
    watch.watch()
    work_off()
    assert states() == {State.FAILED}
    assert set(Instance.objects.values_list("desired", flat=True)) == {Desired.STOPPED}


def test_what_a_list_tells_is_written_together_and_the_rest_is_not_written(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    rows = running(facility, cloud, 60)
    watch.watch()
    with CaptureQueriesContext(
        connection,
    ) as nothing_new:
        watch.watch()
    cloud.rows = {key: Observed(Phase.RUNNING, 1) for key in cloud.rows}
    moved = rows[:30]
    cloud.rows |= {row.key: Observed(Phase.RUNNING, 1, DESKTOP) for row in rows[30:]}
    Instance.objects.filter(pk__in=[row.pk for row in moved]).update(state=State.STARTING, apps_ready=[])
    cloud.rows |= {row.key: Observed(Phase.RUNNING, 1, DESKTOP) for row in moved}
    with CaptureQueriesContext(connection) as thirty_moved:
        watch.watch()
    assert states() == {State.READY}
    assert writes(nothing_new) <= 2, "its row alone says when it was asked and answered"
    assert writes(thirty_moved) <= 2 + 6
    assert cloud.calls.count("observe") == 0
    assert moved[0].events.filter(step="ready").exists()


def writes(queries: CaptureQueriesContext) -> int:
    return sum(query["sql"].startswith(("UPDATE", "INSERT", "DELETE")) for query in queries.captured_queries)


def test_many_workers_ask_a_cloud_once_in_a_tick(facility: Facility, cloud: ScriptedCloud) -> None:
    cloud.tick = timedelta(seconds=5)  # type: ignore[misc]

    def look() -> None:
        watch.look(Cloud.objects.get())
        connection.close()

    for _ in range(3):
        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert cloud.calls.count("observe_all") == 1


def test_a_cloud_that_hangs_holds_up_no_other(facility: Facility, cloud: ScriptedCloud) -> None:
    """Each is watched in a thread of its own."""
    Cloud.objects.create(name="other", title="Other", kind="local")
    hanging, seen = threading.Event(), threading.Event()

    def hang_once(call: str) -> None:
        if call == "observe_all" and not hanging.is_set():
            hanging.set()
            seen.wait(20)

    cloud.before = hang_once
    watcher = watch.Watcher()
    watcher.tick()
    assert hanging.wait(10)
    deadline = timezone.now() + timedelta(seconds=20)
    while Cloud.objects.filter(observed_at__isnull=False).count() < 1 and timezone.now() < deadline:
        watcher.tick()
    assert Cloud.objects.filter(observed_at__isnull=False).count() == 1
    seen.set()
    for thread in watcher._busy.values():
        thread.join(10)


def test_a_list_that_is_older_than_a_row_says_nothing_about_it(facility: Facility, cloud: ScriptedCloud) -> None:
    rows = running(facility, cloud, 1)
    cloud.rows = {}
    Instance.objects.update(state_since=timezone.now() + timedelta(minutes=1))
    watch.watch()
    rows[0].refresh_from_db()
    assert rows[0].missing_since is None and rows[0].state == State.READY
