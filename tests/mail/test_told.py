"""Who is told of what: owners of what they did not do themselves."""

import pytest
from django.db import transaction

from auth.models import Participation, User
from instances.models import Instance, Mail
from instances.services.delete import delete
from instances.services.launch import launch
from instances.services.rights import recheck
from instances.services.start import start
from instances.services.stop import stop
from instances.services.transitions import advance
from instances.states import Desired, State
from tests.facility import Facility, instance


@pytest.fixture
def row(facility: Facility) -> Instance:
    return instance(facility, facility.ada, name="Rings")


def told() -> list[tuple[str, str, dict[str, object]]]:
    return list(Mail.objects.order_by("created").values_list("to__username", "kind", "facts"))


def test_a_launch_is_told_with_its_end(facility: Facility) -> None:
    made = launch(
        acting_user=facility.ada,
        experiments=[facility.running.pk],
        environment="desktop",
        flavour="s",
        display={"layout": "single"},
    )
    mail = Mail.objects.get()
    assert (mail.kind, mail.instance, mail.to) == ("created", made, facility.ada)
    assert mail.facts == {"until": made.expires}


def test_what_its_owner_does_through_any_identity_needs_no_mail(facility: Facility, row: Instance) -> None:
    stop(row.pk, acting_user=facility.ada)
    Instance.objects.filter(pk=row.pk).update(state=State.STOPPED)
    row.refresh_from_db()
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    delete(row.pk, acting_user=User.objects.get(pk=facility.bob.pk))
    assert not told()


def test_what_was_stopped_by_its_owner_is_not_told_when_its_cloud_confirms_it(
    facility: Facility, row: Instance
) -> None:
    stop(row.pk, acting_user=facility.ada)
    row.refresh_from_db()
    advance(row, State.UNKNOWN, actor=None, reason="Its cloud does not answer.")
    advance(row, State.STOPPED, actor=None, reason="Stopped")
    assert not told()


def test_an_administrator_s_stop_and_deletion_are_told_with_the_name(facility: Facility, row: Instance) -> None:
    stop(row.pk, acting_user=facility.ivy)
    delete(row.pk, acting_user=facility.ivy)
    by = {"by": "Ivy Operator"}
    assert told() == [("ada", "stopped", by), ("ada", "deleted", by)]


def test_an_end_by_itself_and_a_failure_are_told_with_the_reason_once_for_each_start(
    facility: Facility, row: Instance
) -> None:
    advance(row, State.STOPPED, actor=None, reason="It ended by itself.", desired=Desired.STOPPED)
    start(row.pk, acting_user=facility.ada)
    row.refresh_from_db()
    advance(row, State.FAILED, actor=None, reason="No place was found.", desired=Desired.STOPPED)
    advance(row, State.UNKNOWN, actor=None, reason="Its cloud does not answer.")
    advance(row, State.FAILED, actor=None, reason="No place was found.")
    assert told() == [
        ("ada", "stopped", {"reason": "It ended by itself."}),
        ("ada", "failed", {"reason": "No place was found."}),
    ]


@pytest.mark.parametrize("state", [State.READY, State.UNKNOWN])
def test_who_loses_all_of_the_data_is_told_that_it_stops_and_why(
    state: State, facility: Facility, row: Instance
) -> None:
    grant = {"path": "x", "mode": "read", "until": None, "experiment": facility.running.pk, "proposal": "HC-1"}
    Instance.objects.filter(pk=row.pk).update(state=state, grants=[grant])
    Participation.objects.all().delete()
    with transaction.atomic():
        recheck(users=[facility.ada.pk], proposals=[], because="test")
    ((_, kind, facts),) = told()
    assert kind == "stopped" and "not on the team of HC-1" in str(facts["reason"])


def test_a_transition_that_is_rolled_back_is_not_told(facility: Facility, row: Instance) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        stop(row.pk, acting_user=facility.ivy)
        raise ZeroDivisionError
    assert not told()
