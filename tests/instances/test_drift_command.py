"""`manage.py drift` asks once, says what differs, and repairs only when it is told to."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Instance, Stray
from instances.providers.base import Found, Observed
from instances.reconcile import strays, survey, watch, worker
from instances.services import adopt
from instances.states import Desired, Phase, State
from tests.facility import Facility
from tests.faulty.process import FaultyCloud
from tests.faulty.provider import FaultyProvider

from .drifting import BECAUSE, orphan, running
from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_the_command_is_content_when_nothing_differs(facility: Facility, cloud: ScriptedCloud) -> None:
    running(facility, cloud)
    code, text = run()
    assert code == 0 and "1 as they should be, 0 not." in text
    assert cloud.calls == ["observe_all"]


def test_a_dry_run_says_what_a_repair_would_do_and_changes_nothing(facility: Facility, cloud: ScriptedCloud) -> None:
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


def test_a_repair_does_what_a_tick_does_and_says_so(facility: Facility, cloud: ScriptedCloud) -> None:
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


def test_copies_go_when_a_repair_has_seen_them_for_long_enough(facility: Facility, cloud: ScriptedCloud) -> None:
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


def test_a_doubted_list_and_a_silent_cloud_are_told_apart(facility: Facility, cloud: ScriptedCloud) -> None:
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


def test_by_the_command_an_administrator_decides_about_an_orphan(facility: Facility, cloud: ScriptedCloud) -> None:
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


def test_a_survey_waits_for_the_worker_that_is_looking(facility: Facility, cloud: ScriptedCloud) -> None:
    lock, other = ["visa.watch", facility.cloud.pk], connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s), %s)", lock)
        assert survey.repair(facility.cloud) is None
        cursor.execute("SELECT pg_advisory_unlock(hashtext(%s), %s)", lock)
    other.close()
    assert survey.repair(facility.cloud) is not None


def server(deployment: str, key: str) -> dict[str, Any]:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": ""}
    wanted = {"deployment": deployment, "instance": key, "name": "x", "image": "desktop", "apps": ["desktop"]}
    return wanted | {"generation": 1, "labels": labels, "status": "running"}


def test_in_a_real_project_ours_are_found_and_deleted_and_those_of_other_deployments_are_invisible(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyCloud() as real:
        provider = FaultyProvider("faulty", real.settings | {"deployment": "visa"})
        for module in (worker, watch):
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
