"""A cloud that loses its memory or its voice for a while: all is UNKNOWN, nothing is touched, and all comes back."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from auth.models import AuditEvent
from instances.models import Cloud, Instance, Mail
from instances.reconcile.watch import watch
from instances.reconcile.worker import reconcile
from instances.services import clouds
from instances.states import Desired, State
from tests import facility as facilities
from tests.facility import Facility
from tests.faulty.faults import Storm, Verb
from tests.faulty.process import FaultyCloud

pytestmark = pytest.mark.django_db(transaction=True)
MANY = 30


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest) -> Iterator[FaultyCloud]:
    monkeypatch.setitem(clouds.KINDS, "faulty", "tests.faulty.provider.FaultyProvider")
    settings.DEPLOYMENT = "tests"  # type: ignore[attr-defined]
    with FaultyCloud(patience=0.2) as running:
        yield running


@pytest.fixture
def ready(cloud: FaultyCloud, facility: Facility) -> list[Instance]:
    """So many instances of one cloud, all of them running."""
    Cloud.objects.update(kind="faulty", settings=cloud.settings)
    rows = [facilities.instance(facility, facility.ada, observed_generation=1) for _ in range(MANY)]
    wanted = {"deployment": "tests", "name": "x", "image": "desktop", "apps": ["desktop"], "generation": 1}
    cloud.holds([wanted | {"instance": row.key, "status": "running"} for row in rows])
    watch()
    assert states() == {State.READY}
    cloud.counts_anew()
    return rows


@pytest.mark.parametrize("storm", [Storm.EMPTY, Storm.ABSENT])
def test_a_cloud_that_lists_nothing_is_not_believed(cloud: FaultyCloud, ready: list[Instance], storm: Storm) -> None:
    cloud.storms(storm)
    for _ in range(3):
        watch()
        for row in ready:
            reconcile(row.pk)
        long_ago = timezone.now() - timedelta(hours=1)
        Instance.objects.exclude(missing_since=None).update(missing_since=long_ago)
    assert states() == {State.UNKNOWN}
    assert Cloud.objects.get().doubt

    cloud.recovers()
    watch()
    assert states() == {State.READY}
    assert untouched(cloud, ready)
    assert AuditEvent.objects.filter(action="cloud.doubted").count() == 1
    assert Mail.objects.filter(kind="alert").count() == 1  # there is one administrator


@pytest.mark.parametrize("storm", [Storm.DOWN, Storm.HANG])
def test_a_cloud_that_does_not_answer_is_unknown_and_then_as_before(
    cloud: FaultyCloud, ready: list[Instance], storm: Storm
) -> None:
    cloud.storms(storm)
    until = time.monotonic() + 20
    while states() != {State.UNKNOWN}:
        assert time.monotonic() < until, states()
        watch()
        time.sleep(0.3)
    for row in ready[:5]:
        reconcile(row.pk)
    assert Cloud.objects.get().trouble

    cloud.recovers()
    watch()
    assert states() == {State.READY} and not Cloud.objects.get().trouble
    assert untouched(cloud, ready)
    assert AuditEvent.objects.filter(action="cloud.silent").count() == 1


def states() -> set[str]:
    return set(Instance.objects.values_list("state", flat=True))


def untouched(cloud: FaultyCloud, ready: list[Instance]) -> bool:
    """Nothing was asked of it but how things are, and nobody's wish has changed."""
    asked = {Verb(verb) for verb in cloud.told()["calls"]}
    wanted = set(Instance.objects.values_list("desired", flat=True))
    running = {server["instance"] for server in cloud.servers() if server["status"] == "running"}
    return (
        asked <= {Verb.LIST, Verb.FIND, Verb.CAPACITY}
        and wanted == {Desired.RUNNING}
        and running == {row.key for row in ready}
    )
