"""What a cloud holds in our name and should not: copies go, remnants go, orphans wait for a decision."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from auth.models import AuditEvent
from instances.errors import Conflict, Denied
from instances.models import Instance, Stray
from instances.providers.base import Found, Observed
from instances.reconcile import watch, worker
from instances.services.adopt import adopt, delete_stray
from instances.states import Desired, Phase, State
from tests import facility as facilities
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)
DESKTOP = frozenset({"desktop"})
WHY = "Its owner has left the facility"


def seen_for_a_while() -> None:
    Stray.objects.update(found=timezone.now() - timedelta(days=2))


def orphan(facility: Facility, cloud: ScriptedCloud, **labels: str) -> str:
    key = uuid4().hex
    given = {"owner": "bob", "environment": "desktop", "flavour": "s", "experiments": str(facility.running.pk)}
    cloud.more.append(Found(key, Observed(Phase.RUNNING, 3, DESKTOP, reference=f"srv-{key}"), given | labels))
    return key


def test_an_orphan_is_reported_and_nothing_is_done_to_it(facility: Facility, cloud: ScriptedCloud) -> None:
    key = orphan(facility, cloud)
    for _ in range(3):
        watch.watch()
        seen_for_a_while()
    stray = Stray.objects.get()
    assert (stray.kind, stray.key, stray.fate, stray.labels["owner"]) == ("orphan", key, "", "bob")
    assert AuditEvent.objects.filter(action="stray.orphan").count() == 1
    assert len(cloud.more) == 1 and "delete" not in cloud.calls
    cloud.more.clear()
    watch.watch()
    assert not Stray.objects.exists()


def test_an_adopted_orphan_is_its_owner_s_closed_to_everybody_and_stops(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    key = orphan(facility, cloud)
    watch.watch()
    made = adopt(Stray.objects.get().pk, acting_user=facility.ivy)
    cloud.rows[key] = cloud.more.pop().observed
    assert (made.key, made.owner, made.withheld != "") == (key, facility.bob, True)
    assert list(made.experiments.all()) == [facility.running]
    worker.reconcile(made.pk)
    made.refresh_from_db()
    assert (made.state, made.desired, made.withheld) == (State.STOPPED, Desired.STOPPED, "")
    watch.watch()
    assert not Stray.objects.exists()


def test_an_orphan_of_nobody_can_only_be_deleted_and_only_by_an_administrator(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    key = orphan(facility, cloud, owner="nobody")
    watch.watch()
    stray = Stray.objects.get()
    with pytest.raises(Conflict, match="no known owner"):
        adopt(stray.pk, acting_user=facility.ivy)
    for other in (facility.ada, facility.aud):
        with pytest.raises(Denied):
            delete_stray(stray.pk, acting_user=other, because=WHY)
    delete_stray(stray.pk, acting_user=facility.ivy, because=WHY)
    watch.watch()
    assert cloud.calls.count("delete") == 1 and not cloud.more
    watch.watch()
    assert not Stray.objects.exists()
    assert AuditEvent.objects.filter(action="stray.removed", detail__instance=key).exists()


@pytest.mark.parametrize("policy", ["adopt", "delete"])
def test_the_site_s_policy_decides_about_orphans_after_a_time(
    facility: Facility, cloud: ScriptedCloud, settings: Settings, policy: str
) -> None:
    settings.ORPHANS = policy
    key = orphan(facility, cloud)
    watch.watch()
    watch.watch()
    assert Stray.objects.get().fate == ""
    seen_for_a_while()
    watch.watch()
    assert Instance.objects.filter(pk=key).exists() == (policy == "adopt")
    assert ("delete" in cloud.calls) == (policy == "delete")


def test_a_copy_beside_the_one_that_counts_goes_and_the_one_that_counts_stays(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    row = facilities.instance(facility, facility.ada, observed_generation=1, apps_ready=["desktop"], reference="a")
    cloud.rows[row.key] = Observed(Phase.RUNNING, 1, DESKTOP, reference="a")
    cloud.more.append(Found(row.key, Observed(Phase.RUNNING, 1, DESKTOP, reference="b")))
    watch.watch()
    assert cloud.removed == [], "what is just being made settles first"
    seen_for_a_while()
    watch.watch()
    assert cloud.removed == [(row.key, "b")]
    row.refresh_from_db()
    assert row.state == State.READY
    watch.watch()
    assert not Stray.objects.exists()


def test_what_its_cloud_lists_again_after_it_was_deleted_is_deleted_once_more(
    facility: Facility, cloud: ScriptedCloud
) -> None:
    row = facilities.instance(facility, facility.ada, State.DELETED, state_since=timezone.now() - timedelta(minutes=1))
    cloud.rows[row.key] = Observed(Phase.RUNNING, 1, DESKTOP)
    watch.watch()
    row.refresh_from_db()
    assert (row.state, row.desired) == (State.DELETING, Desired.DELETED)
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert row.state == State.DELETED and cloud.rows == {}


def test_a_list_that_is_not_believed_is_no_proof_that_strays_are_gone(facility: Facility, cloud: ScriptedCloud) -> None:
    orphan(facility, cloud)
    facts = {"observed_generation": 1, "apps_ready": ["desktop"]}
    rows = [facilities.instance(facility, facility.ada, **facts) for _ in range(5)]
    Instance.objects.update(state_since=timezone.now() - timedelta(hours=1))
    cloud.rows = {row.key: Observed(Phase.RUNNING, 1, DESKTOP) for row in rows}
    watch.watch()
    cloud.rows, cloud.more = {}, []
    watch.watch()
    assert Stray.objects.count() == 1
