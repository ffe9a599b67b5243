"""What a machine showed last is kept when its instance fails, and gone when it starts anew or is deleted."""

from collections.abc import Iterator

import pytest

from instances.errors import ProviderError
from instances.models import Console, Instance
from instances.providers.base import Observed
from instances.reconcile import worker
from instances.services.delete import delete
from instances.services.launch import launch
from instances.states import Phase, State
from instances.views.common import console_of
from tests.facility import Facility

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def failing(cloud: ScriptedCloud, facility: Facility) -> Iterator[Instance]:
    """Its server fails as soon as it is made."""
    row = launch(
        acting_user=facility.ada,
        experiments=[facility.running.pk],
        environment="desktop",
        flavour="s",
        display={},
    )
    cloud.after = lambda call: (
        cloud.rows.update({row.key: Observed(Phase.FAILED, 1, message="It broke.")}) if call == "ensure" else None
    )
    yield row


def test_a_failure_keeps_the_console_until_the_instance_is_deleted(cloud: ScriptedCloud, failing: Instance) -> None:
    cloud.shown = "kernel panic"
    worker.reconcile(failing.pk)
    failing.refresh_from_db()
    assert failing.state == State.FAILED
    kept = console_of(failing)
    assert kept and (kept.text, kept.generation) == ("kernel panic", 1)
    failing.generation += 1
    assert console_of(failing) is None, "what was shown before a new start says nothing about it"
    delete(failing.pk, acting_user=failing.owner)
    worker.reconcile(failing.pk)
    assert not Console.objects.exists()


def test_a_console_that_cannot_be_had_holds_up_nothing(cloud: ScriptedCloud, failing: Instance) -> None:
    def refuse(call: str) -> None:
        if call == "console":
            raise ProviderError("No console today.", retry=True)

    cloud.before = refuse
    worker.reconcile(failing.pk)
    failing.refresh_from_db()
    assert (failing.state, failing.message) == (State.FAILED, "It broke.")
    assert console_of(failing) is None


def test_an_instance_that_runs_well_is_never_asked_for_its_console(cloud: ScriptedCloud, facility: Facility) -> None:
    row = launch(
        acting_user=facility.ada,
        experiments=[facility.running.pk],
        environment="desktop",
        flavour="s",
        display={},
    )
    worker.reconcile(row.pk)
    assert "console" not in cloud.calls
