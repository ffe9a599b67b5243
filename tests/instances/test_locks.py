"""Transactions wait for each other, never for ever: what one person does at once in two windows is done twice."""

import threading

import pytest
from django.db import connection, transaction

from auth import audit
from auth.models import User
from instances.models import Instance, InstanceEvent
from instances.services.launch import launch
from instances.services.stop import stop
from instances.states import Desired
from tests.facility import Facility, instance
from tests.portal import until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_launch_and_a_stop_by_one_person_at_the_same_moment(facility: Facility) -> None:
    """Foreign keys are checked at the commit, when the trail is held: locks on rows must not keep that check out."""
    running = instance(facility, facility.ada)
    problems: list[Exception] = []

    def launches() -> None:
        try:
            launch(
                acting_user=facility.ada,
                experiments=[facility.running.pk],
                environment="desktop",
                flavour="s",
                display={},
            )
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=launches)
    with transaction.atomic():
        stop(running.pk, acting_user=facility.ada)
        other.start()
        until(_somebody_waits, what="the launch to wait for the trail")
    other.join()
    assert not problems
    assert set(Instance.objects.values_list("desired", flat=True)) == {Desired.STOPPED, Desired.RUNNING}


def test_what_a_transaction_refers_to_is_locked_before_the_trail_is(facility: Facility) -> None:
    running = instance(facility, facility.ada)
    with transaction.atomic():
        InstanceEvent.objects.create(instance=running, generation=1, actor=facility.bob, message="seen")
        assert _may_be_taken(facility.bob)
        audit.record("instance.seen", f"instance:{running.pk}", actor=None)
        assert not _may_be_taken(facility.bob)


def _may_be_taken(user: User) -> bool:
    """By somebody else, for themselves alone."""
    found: list[bool] = []

    def other() -> None:
        with transaction.atomic():
            found.append(User.objects.select_for_update(skip_locked=True).filter(pk=user.pk).exists())
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    return found[0]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])
