"""What differs is told from the rows, from a live list, and by the database, and all three say the same."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.utils import timezone

from auth.models import AuditEvent
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import Cloud, Instance, Stray
from instances.providers.base import Observed
from instances.reconcile import compared, watch, worker
from instances.reconcile.compared import last_seen
from instances.reconcile.drift import Around, agrees, drift
from instances.reconcile.plan import Act, Wish, plan
from instances.services import adopt, clouds, observation
from instances.services.drift import counts, differing, look_again
from instances.states import Desired, Phase, State
from tests.facility import Facility

from .drifting import BECAUSE, orphan, running
from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_database_and_the_rule_say_the_same_of_every_row(facility: Facility) -> None:
    now = timezone.now()
    seen = [(0, []), (1, ["desktop"]), (1, []), (2, ["desktop"])]
    rows = [
        Instance(
            name="x", owner=facility.ada, environment=facility.desktop, flavour=facility.small, cloud=facility.cloud,
            state=state, desired=desired, phase=phase, generation=1, observed_generation=generation,
            apps_ready=apps, missing_since=missing,
        )
        for state, desired, phase, (generation, apps), missing in product(State, Desired, Phase, seen, [None, now])
    ]  # fmt: skip
    Instance.objects.bulk_create(rows)
    said = set(differing().values_list("pk", flat=True))
    for row in Instance.objects.exclude(state=State.DELETED).select_related("environment", "cloud"):
        observed = last_seen(row)
        assert (row.pk in said) == (not agrees(worker.wish_of(row, observed), observed)), vars(row)


def test_where_rows_agree_the_plan_has_nothing_to_do() -> None:
    apps = frozenset({"desktop"})
    for state, desired, phase, last, generation in product(State, Desired, Phase, Phase, (0, 1, 2)):
        wish = Wish(desired, 1, state, generation, apps, last, absences=1 if phase is Phase.ABSENT else 0)
        observed = Observed(phase, generation, apps)
        if agrees(wish, observed):
            step = plan(wish, observed, waited=timedelta(hours=9))
            assert step.act is Act.NOTHING and step.settle is None and step.state.settled, (wish, observed)
        else:
            said = drift(wish, observed, Around(), waited=timedelta())
            assert said.because and said.following, (wish, observed)


def test_why_they_differ_and_what_follows_is_said_in_words(facility: Facility, cloud: ScriptedCloud) -> None:
    later = timezone.now() - timedelta(minutes=5)
    cases = {
        "new": (
            {"state": State.QUEUED, "phase": Phase.ABSENT, "observed_generation": 0},
            "has not been made",
            "make it",
        ),
        "again": ({"generation": 2}, "started anew yet", "start it anew"),
        "stop": ({"state": State.STOPPING, "desired": Desired.STOPPED}, "still runs", "will stop it"),
        "stuck": ({"state": State.STOPPED, "desired": Desired.STOPPED}, "still runs", "says something new"),
        "going": ({"state": State.DELETING, "desired": Desired.DELETED}, "still has it", "denied twice"),
        "missing": ({"missing_since": later, "state": State.UNKNOWN}, "list lacks it", "counts as gone"),
        "failing": ({"state": State.UNKNOWN, "failures": 3, "message": "No route."}, "No route", "shown as ready"),
        "slow": ({"state": State.STARTING, "apps_ready": []}, "Not answering: desktop", "asked for again"),
        "line": ({"state": State.QUEUED, "waiting_since": later}, "no place", "when its turn comes"),
    }
    for name, (fields, _, _) in cases.items():
        running(facility, name=name, **fields)
    running(facility, name="fine")
    found = {one.instance.name: one for one in compared.as_last_seen(differing().select_related("environment"))}
    assert set(found) == set(cases)
    for name, (_, because, following) in cases.items():
        assert because in found[name].drift.because, name
        assert following in found[name].drift.following, name
        assert found[name].since, name
    assert "will stop it" in found["stuck"].drift.if_asked
    assert found["stuck"].drift.decision and not found["stop"].drift.decision
    assert found["missing"].since == later and found["missing"].seen == "nothing"


def test_a_cloud_that_is_silent_or_in_doubt_holds_everything_up(facility: Facility, cloud: ScriptedCloud) -> None:
    running(facility, state=State.STOPPING, desired=Desired.STOPPED)
    Cloud.objects.update(doubt="Too much is gone.")
    (one,) = compared.as_last_seen(differing().select_related("environment", "cloud"))
    assert "an administrator vouches" in one.drift.following and one.drift.decision
    Cloud.objects.update(trouble="No route to it.")
    (one,) = compared.as_last_seen(differing().select_related("environment", "cloud"))
    assert "No route to it." in one.drift.because and "until its cloud answers" in one.drift.following


def test_an_orphan_is_reported_first_and_nothing_is_done_to_it(facility: Facility, cloud: ScriptedCloud) -> None:
    found = orphan(cloud)
    for _ in range(3):
        watch.watch()
    stray = Stray.objects.get()
    assert (stray.kind, stray.key, stray.fate, stray.labels["owner"]) == ("orphan", found.id, "", "ada")
    assert found.id in cloud.rows and "delete" not in cloud.calls
    assert AuditEvent.objects.filter(action="stray.orphan").count() == 1
    assert counts().orphans == 1


def test_an_orphan_is_deleted_by_hand_with_the_next_tick(facility: Facility, cloud: ScriptedCloud) -> None:
    found = orphan(cloud)
    watch.watch()
    stray = Stray.objects.get()
    for who in (facility.aud, facility.ada):
        with pytest.raises(Denied):
            adopt.delete_stray(stray.pk, acting_user=who, because=BECAUSE)
    with pytest.raises(Invalid):
        adopt.delete_stray(stray.pk, acting_user=facility.ivy, because="so")
    adopt.delete_stray(stray.pk, acting_user=facility.ivy, because=BECAUSE)
    with pytest.raises(Conflict):
        adopt.adopt(stray.pk, acting_user=facility.ivy)
    assert found.id in cloud.rows
    watch.watch()
    assert found.id not in cloud.rows and not Stray.objects.exists()
    row = AuditEvent.objects.get(action="stray.delete")
    assert (row.actor_id, row.because) == (facility.ivy.pk, BECAUSE)


def test_an_orphan_is_adopted_stopped_and_nobody_looks_into_it_before(facility: Facility, cloud: ScriptedCloud) -> None:
    found = orphan(cloud, experiments=str(facility.running.pk))
    watch.watch()
    instance = adopt.adopt(Stray.objects.get().pk, acting_user=facility.ivy)
    assert instance.owner == facility.ada and instance.withheld and instance.key == found.id
    assert list(instance.experiments.all()) == [facility.running]
    worker.reconcile(instance.pk)
    watch.watch()
    instance.refresh_from_db()
    assert (instance.state, cloud.rows[found.id].phase, instance.withheld) == (State.STOPPED, Phase.STOPPED, "")
    assert not Stray.objects.exists() and counts().nothing


def test_an_orphan_of_nobody_that_is_known_can_only_be_deleted(facility: Facility, cloud: ScriptedCloud) -> None:
    orphan(cloud, owner="somebody-else")
    watch.watch()
    with pytest.raises(Conflict, match="no known owner: it can only be deleted"):
        adopt.adopt(Stray.objects.get().pk, acting_user=facility.ivy)


def test_a_second_look_wakes_a_worker_and_is_an_administrator_s(facility: Facility, cloud: ScriptedCloud) -> None:
    row = running(facility, cloud, state=State.UNKNOWN, due=timezone.now() + timedelta(hours=1))
    with pytest.raises(Denied):
        look_again(row.pk, acting_user=facility.aud)
    look_again(row.pk, acting_user=facility.ivy)
    row.refresh_from_db()
    assert row.due <= timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = %s", [str(row.pk)])
        assert cursor.fetchone() == (1,)
    Instance.objects.update(waiting_since=timezone.now())
    with pytest.raises(Conflict):
        look_again(row.pk, acting_user=facility.ivy)
    Instance.objects.update(state=State.DELETED)
    with pytest.raises(NotFound):
        look_again(row.pk, acting_user=facility.ivy)


def test_a_doubted_cloud_is_believed_by_an_administrator_with_a_reason(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    rows = [running(facility, cloud) for _ in range(4)]
    for row in rows[:3]:
        del cloud.rows[row.key]
    watch.watch()
    pk = facility.cloud.pk
    assert Cloud.objects.get().doubt and clouds.missing_from(facility.cloud).count() == 3
    with pytest.raises(Invalid):
        clouds.believe(pk, acting_user=facility.ivy, because="   gone   ")
    assert clouds.believe(pk, acting_user=facility.ivy, because="The rack burnt down last night") == 3
    watch.watch()
    assert not Cloud.objects.get().doubt
    for row in rows[:3]:
        worker.reconcile(row.pk)
    states = sorted(Instance.objects.values_list("state", flat=True))
    assert states == ["failed", "failed", "failed", "ready"]


def test_a_cloud_that_is_switched_off_is_watched_while_it_holds_anything(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    row = running(facility, cloud)
    clouds.change_cloud(facility.cloud.pk, acting_user=facility.ivy, enabled=False, rate=5, burst=20, concurrency=8)
    cloud.rows[row.key] = Observed(Phase.STOPPED, 1, message="The session ended.")
    watch.watch()
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert row.state == State.STOPPED
    Cloud.objects.update(observed_at=timezone.now() - timedelta(hours=1))
    assert observation.stale(timezone.now()) == ["local"]
    Instance.objects.update(state=State.DELETED)
    assert not clouds.watched() and observation.stale(timezone.now()) == []


def test_a_change_of_a_cloud_is_checked_and_written_down(facility: Facility) -> None:
    pk, good = facility.cloud.pk, {"enabled": True, "rate": 2.5, "burst": 20, "concurrency": 8}
    with pytest.raises(Denied):
        clouds.change_cloud(pk, acting_user=facility.aud, **good)
    with pytest.raises(Invalid) as refused:
        clouds.change_cloud(pk, acting_user=facility.ivy, enabled=True, rate=float("nan"), burst=None, concurrency=101)
    assert refused.value.fields == {
        "rate": "Give a number from 0.1 to 100.",
        "burst": "Give a number from 1 to 1000.",
        "concurrency": "Give a number from 1 to 100.",
    }
    clouds.change_cloud(pk, acting_user=facility.ivy, **good)
    clouds.change_cloud(pk, acting_user=facility.ivy, **good)
    (row,) = AuditEvent.objects.filter(action="cloud.change")
    assert row.detail == {"before": {"rate": 5.0}, "after": {"rate": 2.5}}
