"""What differs is told from the rows, from a live list, and by the database, and all three say the same."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from auth.models import AuditEvent
from instances.errors import Conflict, Denied, Invalid, NotFound, ProviderError
from instances.models import Cloud, Instance, Stray
from instances.providers.base import Found, Observed
from instances.reconcile import compared, strays, survey, watch, worker
from instances.reconcile.compared import last_seen
from instances.reconcile.drift import Around, agrees, drift
from instances.reconcile.plan import Act, Wish, plan
from instances.services import adopt, clouds, observation
from instances.services.drift import counts, differing, look_again
from instances.states import Desired, Phase, State
from tests import facility as facilities
from tests.facility import Facility
from tests.faulty.process import FaultyCloud
from tests.faulty.provider import FaultyProvider

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)
BECAUSE = "Nobody knows this machine any more"


class Labelled(ScriptedCloud):
    """Knows the labels of what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: dict[str, dict[str, str]] = {}

    def observe_all(self) -> list[Found]:
        return [replace(one, labels=self.labels.get(one.id, one.labels)) for one in super().observe_all()]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, facility: Facility) -> Iterator[Labelled]:
    scripted = Labelled()
    for module in (worker, watch, compared, observation):
        monkeypatch.setattr(module, "provider_for", lambda row: scripted)
    yield scripted


def running(facility: Facility, cloud: Labelled | None = None, **fields: Any) -> Instance:
    facts = {"phase": Phase.RUNNING, "observed_generation": 1, "apps_ready": ["desktop"], "observed_at": timezone.now()}
    row = facilities.instance(facility, facility.ada, **facts | fields)
    if cloud:
        cloud.rows[row.key] = Observed(Phase.RUNNING, 1, frozenset({"desktop"}))
    return row


def orphan(cloud: Labelled, **labels: str) -> Found:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": ""} | labels
    found = Found("e" * 32, Observed(Phase.RUNNING, 3, frozenset({"desktop"})), labels)
    cloud.rows[found.id], cloud.labels[found.id] = found.observed, labels
    return found


def tables() -> dict[str, list[Any]]:
    """Every table of the database, whole."""
    with connection.cursor() as cursor:
        found = {}
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{name}" ORDER BY 1')
            found[name] = cursor.fetchall()
    return found


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("drift", *arguments, stdout=out)
    except SystemExit as left:
        return int(left.code or 0), out.getvalue()
    return 0, out.getvalue()


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


def test_why_they_differ_and_what_follows_is_said_in_words(facility: Facility, cloud: Labelled) -> None:
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
    assert found["stuck"].drift.decision and not found["stop"].drift.decision
    assert found["missing"].since == later and found["missing"].seen == "nothing"


def test_a_cloud_that_is_silent_or_in_doubt_holds_everything_up(facility: Facility, cloud: Labelled) -> None:
    running(facility, state=State.STOPPING, desired=Desired.STOPPED)
    Cloud.objects.update(doubt="Too much is gone.")
    (one,) = compared.as_last_seen(differing().select_related("environment", "cloud"))
    assert "an administrator vouches" in one.drift.following and one.drift.decision
    Cloud.objects.update(trouble="No route to it.")
    (one,) = compared.as_last_seen(differing().select_related("environment", "cloud"))
    assert "No route to it." in one.drift.because and "until its cloud answers" in one.drift.following


def test_an_orphan_is_reported_first_and_nothing_is_done_to_it(facility: Facility, cloud: Labelled) -> None:
    found = orphan(cloud)
    for _ in range(3):
        watch.watch()
    stray = Stray.objects.get()
    assert (stray.kind, stray.key, stray.fate, stray.labels["owner"]) == ("orphan", found.id, "", "ada")
    assert found.id in cloud.rows and "delete" not in cloud.calls
    assert AuditEvent.objects.filter(action="stray.orphan").count() == 1
    assert counts().orphans == 1


def server(deployment: str, key: str) -> dict[str, Any]:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": ""}
    wanted = {"deployment": deployment, "instance": key, "name": "x", "image": "desktop", "apps": ["desktop"]}
    return wanted | {"generation": 1, "labels": labels, "status": "running"}


def test_in_a_real_project_ours_are_found_and_deleted_and_those_of_other_deployments_are_invisible(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyCloud() as real:
        provider = FaultyProvider("faulty", real.settings | {"deployment": "visa"})
        for module in (worker, watch, compared, observation):
            monkeypatch.setattr(module, "provider_for", lambda row: provider)
        real.holds([server("visa", "a" * 32), server("another", "b" * 32), server("another", "a" * 32)])
        code, text = run("--repair")
        assert code == 1 and "a" * 32 in text and "b" * 32 not in text
        (stray,) = Stray.objects.all()
        adopt.delete_stray(stray.pk, acting_user=facility.ivy, because=BECAUSE)
        watch.watch()
        left = [(one["deployment"], one["instance"]) for one in real.servers()]
        assert sorted(left) == [("another", "a" * 32), ("another", "b" * 32)]
        assert run() == (0, "This machine (local)\n  0 as they should be, 0 not.\n\n")


def test_an_orphan_is_deleted_by_hand_with_the_next_tick(facility: Facility, cloud: Labelled) -> None:
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


def test_an_orphan_is_adopted_stopped_and_nobody_looks_into_it_before(facility: Facility, cloud: Labelled) -> None:
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


def test_an_orphan_of_nobody_that_is_known_can_only_be_deleted(facility: Facility, cloud: Labelled) -> None:
    orphan(cloud, owner="somebody-else")
    watch.watch()
    with pytest.raises(Conflict, match="no known owner: it can only be deleted"):
        adopt.adopt(Stray.objects.get().pk, acting_user=facility.ivy)


def test_a_second_look_wakes_a_worker_and_is_an_administrator_s(facility: Facility, cloud: Labelled) -> None:
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


def test_a_doubted_cloud_is_believed_by_an_administrator_with_a_reason(facility: Facility, cloud: Labelled) -> None:
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


def test_a_cloud_that_is_switched_off_is_watched_while_it_holds_anything(facility: Facility, cloud: Labelled) -> None:
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


def test_the_command_is_content_when_nothing_differs(facility: Facility, cloud: Labelled) -> None:
    running(facility, cloud)
    code, text = run()
    assert code == 0 and "1 as they should be, 0 not." in text
    assert cloud.calls == ["observe_all"]


def test_a_dry_run_says_what_a_repair_would_do_and_changes_nothing(facility: Facility, cloud: Labelled) -> None:
    running(facility, cloud)
    stopping = running(facility, cloud, state=State.STOPPING, desired=Desired.STOPPED, name="to stop")
    lost = running(facility, name="lost")
    copy = running(facility, cloud, name="twice", reference="vm-1")
    orphan(cloud)
    cloud.more = [Found(copy.key, Observed(Phase.RUNNING, 1, reference="vm-2"))]
    before, cloud.calls = tables(), []
    for arguments in ([], ["--repair", "--dry-run"]):
        code, text = run(*arguments)
        assert code == 1
        for word in (stopping.key, lost.key, "It still runs.", "list lacks it", "e" * 32, "owner=ada", "vm-2"):
            assert word in text, word
    assert "Would be done" in text and "It will be reported. It is not touched." in text
    assert set(cloud.calls) == {"observe_all"} and len(cloud.calls) == 2
    assert tables() == before


def test_a_repair_does_what_a_tick_does_and_says_so(facility: Facility, cloud: Labelled) -> None:
    late = running(facility, cloud, state=State.STARTING, apps_ready=[], name="late")
    stuck = running(facility, cloud, state=State.STOPPED, desired=Desired.STOPPED, name="stuck")
    orphan(cloud)
    code, text = run("--repair", "--cloud", "local")
    assert code == 1
    assert "late: It was shown as starting, and is shown as ready now." in text
    assert "stuck: A worker was told to look at it." in text
    assert "It is reported. It is not touched." in text
    late.refresh_from_db()
    assert late.state == State.READY and Stray.objects.get().key == "e" * 32
    with connection.cursor() as cursor:
        cursor.execute("SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo'")
        assert (str(stuck.pk),) in cursor.fetchall()
    worker.reconcile(stuck.pk)
    assert cloud.rows[stuck.key].phase is Phase.STOPPED


def test_copies_go_when_a_repair_has_seen_them_for_long_enough(facility: Facility, cloud: Labelled) -> None:
    row = running(facility, name="twice")
    for name in ("vm-1", "vm-2"):
        cloud.more.append(Found(row.key, Observed(Phase.RUNNING, 1, frozenset({"desktop"}), reference=name)))
    Instance.objects.update(reference="vm-1")
    assert "Copies, one too many" in run("--repair")[1]
    Stray.objects.update(found=timezone.now() - 2 * strays.SURE_AFTER)
    assert "It will be deleted." in run("--repair", "--dry-run")[1]
    assert "twice: It is deleted." in run("--repair")[1]
    assert [one.observed.reference for one in cloud.more] == ["vm-1"]
    assert run()[0] == 0


def test_a_doubted_list_and_a_silent_cloud_are_told_apart(facility: Facility, cloud: Labelled) -> None:
    for _ in range(4):
        running(facility)
    code, text = run()
    assert code == 1 and "ITS LIST IS DOUBTED: 4 of 4" in text
    assert "an administrator vouches" in " ".join(text.split())

    def err(call: str) -> None:
        raise ProviderError("no answer", retry=True)

    cloud.before = err
    code, text = run()
    assert code == 2 and "It does not answer: no answer" in text


def test_by_the_command_an_administrator_decides_about_an_orphan(facility: Facility, cloud: Labelled) -> None:
    found = orphan(cloud)
    with pytest.raises(CommandError, match="No orphan"):
        run("--delete", found.id, "--as", "ivy", "--because", BECAUSE)
    run("--repair")
    for who, why in (([], "Say who decides"), (["--as", "aud"], "can change nothing"), (["--as", "ivy"], "Say why")):
        with pytest.raises(CommandError, match=why):
            run("--delete", found.id, *who)
    assert "is deleted with the next look" in run("--delete", found.id, "--as", "ivy", "--because", BECAUSE)[1]
    run("--repair")
    assert found.id not in cloud.rows
    found = orphan(cloud)
    run("--repair")
    assert "is an instance of Ada Lind now" in run("--adopt", found.id, "--as", "ivy")[1]
    assert Instance.objects.get().withheld


def test_a_survey_waits_for_the_worker_that_is_looking(facility: Facility, cloud: Labelled) -> None:
    lock, other = ["visa.watch", facility.cloud.pk], connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s), %s)", lock)
        assert survey.repair(facility.cloud) is None
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s), %s)", lock)
    other.close()
    assert survey.repair(facility.cloud) is not None
