"""The line on a real database: joining, being placed in turn by any number of workers, leaving, and what it costs."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from auth import rights
from auth.data import Part
from auth.models import AuditEvent, Participation, User
from instances.errors import Conflict, Invalid
from instances.models import Cloud, Flavour, FlavourOffer, Instance
from instances.reconcile import queue as placing
from instances.reconcile import sweep, worker
from instances.services import queue
from instances.services.delete import delete
from instances.services.launch import launch
from instances.services.options import flavour_choices
from instances.services.start import start
from instances.services.stop import stop
from instances.states import Desired, Phase, State
from tests.facility import CAPACITY, Facility, instance, person

from .scripted import ScriptedCloud
from .test_quotas import ask

pytestmark = pytest.mark.django_db


def waiting() -> list[Instance]:
    return list(Instance.objects.filter(waiting_since__isnull=False).order_by("waiting_since"))


def fill(facility: Facility, owner: User, count: int = 8) -> list[Instance]:
    """The machine has room for 8."""
    return [instance(facility, owner, name=f"Running {n}") for n in range(count)]


def end(row: Instance) -> None:
    Instance.objects.filter(pk=row.pk).update(state=State.STOPPED, desired=Desired.STOPPED, phase=Phase.STOPPED)


def second_cloud(facility: Facility, *, preference: int = 0, **fields: Any) -> Cloud:
    made = Cloud.objects.create(name="two", title="Cloud two", kind="local", capacity=dict(CAPACITY), **fields)
    FlavourOffer.objects.create(flavour=facility.small, cloud=made, preference=preference)
    return made


def actions() -> list[tuple[str, str]]:
    return list(AuditEvent.objects.values_list("action", "actor_name"))


def test_where_there_is_room_and_nobody_waits_a_launch_is_placed_at_once(facility: Facility) -> None:
    made = launch(acting_user=facility.ada, **ask(facility))
    assert (made.cloud, made.waiting_since) == (facility.cloud, None)


def test_a_full_cloud_makes_it_wait_instead_of_failing(facility: Facility) -> None:
    fill(facility, facility.bob)
    made = launch(acting_user=facility.ada, **ask(facility))
    assert (made.state, made.cloud) == (State.QUEUED, None) and made.waiting_since
    assert [e.message for e in made.events.all()] == ["Waiting in line for a place"]
    assert queue.turns([made])[made.pk].what == "1st in line for a place"
    worker.reconcile(made.pk)  # which leaves it alone
    assert sweep.sweep() == 0 and placing.place() == 0


def test_what_no_cloud_could_ever_run_is_refused_with_the_reason(facility: Facility) -> None:
    huge = Flavour.objects.create(slug="xl", name="XL", cores=1, memory_mb=999_999)
    FlavourOffer.objects.create(flavour=huge, cloud=facility.cloud)
    with pytest.raises(Invalid, match="this machine has 8 GB"):
        launch(acting_user=facility.ada, **ask(facility, flavour="xl"))
    with pytest.raises(Invalid, match="no configured cloud has A40 GPUs"):
        launch(acting_user=facility.ada, **ask(facility, flavour=facility.big.slug))


@pytest.mark.parametrize(
    "trouble",
    [{"trouble": "down"}, {"doubt": "half is missing"}, {"closed_until": timezone.now() + timedelta(hours=1)}],
    ids=["trouble", "doubt", "breaker"],
)
def test_a_cloud_in_trouble_takes_nobody_until_it_is_well(facility: Facility, trouble: dict[str, Any]) -> None:
    Cloud.objects.update(**trouble)
    made = launch(acting_user=facility.ada, **ask(facility))
    assert made.waiting_since and placing.place() == 0
    Cloud.objects.update(trouble="", doubt="", closed_until=None)
    assert placing.place() == 1


def test_as_soon_as_something_ends_the_next_one_is_placed_told_and_audited(facility: Facility) -> None:
    running = fill(facility, facility.bob)
    made = launch(acting_user=facility.ada, **ask(facility))
    assert placing.place() == 0
    end(running[0])
    assert placing.place() == 1
    made.refresh_from_db()
    assert (made.cloud, made.waiting_since, made.state) == (facility.cloud, None, State.QUEUED)
    assert made.placed_at and [e.message for e in made.events.all()][-1] == "Room on This machine"
    assert actions() == [("instance.launch", "Ada Lind"), ("instance.place", "system")]
    assert AuditEvent.objects.last().detail["cloud"] == "local"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = %s", [str(made.pk)])
        assert cursor.fetchone() == (1,)


def test_whoever_comes_later_does_not_go_past_those_who_wait(facility: Facility) -> None:
    running = fill(facility, facility.bob)
    first = launch(acting_user=facility.ada, **ask(facility))
    end(running[0])
    later = launch(acting_user=facility.bob, **ask(facility))
    assert later.waiting_since
    placing.place()
    assert [row.pk for row in waiting()] == [later.pk]
    assert Instance.objects.get(pk=first.pk).cloud


def test_people_take_turns_across_passes_and_all_identities_of_one_are_one(facility: Facility) -> None:
    User.objects.filter(pk=facility.eve.pk).update(linked_to=facility.ada)
    running = fill(facility, facility.sci)
    mine = [
        instance(facility, owner, State.QUEUED, cloud=None, waiting_since=timezone.now() - timedelta(minutes=9 - n))
        for n, owner in enumerate([facility.ada, facility.eve, facility.ada, facility.bob])
    ]
    order = []
    for row in running[:4]:
        end(row)
        before = {row.pk for row in waiting()}
        assert placing.place() == 1
        (gone,) = before - {row.pk for row in waiting()}
        order.append(next(n for n, row in enumerate(mine) if row.pk == gone))
    assert order == [0, 3, 1, 2]


def test_the_preferred_cloud_is_filled_first_then_the_other(facility: Facility) -> None:
    FlavourOffer.objects.filter(cloud=facility.cloud).update(preference=2)
    two = second_cloud(facility, preference=1)
    made = [launch(acting_user=facility.ada, **ask(facility)) for _ in range(17)]
    assert [row.cloud for row in made] == [two] * 8 + [facility.cloud] * 8 + [None]
    Cloud.objects.filter(pk=two.pk).update(trouble="down")
    end(made[0])
    assert placing.place() == 0
    end(made[8])
    assert placing.place() == 1
    assert Instance.objects.get(pk=made[16].pk).cloud == facility.cloud


def test_a_stopped_one_waits_for_room_where_its_home_is(facility: Facility) -> None:
    second_cloud(facility)
    row = instance(facility, facility.ada, State.STOPPED)
    running = fill(facility, facility.bob)
    assert start(row.pk, acting_user=facility.ada).waiting_since
    assert placing.place() == 0  # cloud two has room, and not its home
    end(running[0])
    assert placing.place() == 1
    row.refresh_from_db()
    assert (row.cloud, row.state, row.generation) == (facility.cloud, State.QUEUED, 2)


def test_a_start_in_a_cloud_that_is_switched_off_is_refused(facility: Facility) -> None:
    row = instance(facility, facility.ada, State.STOPPED)
    Cloud.objects.update(enabled=False)
    with pytest.raises(Conflict, match="has been switched off"):
        start(row.pk, acting_user=facility.ada)


def test_stopping_a_start_that_waits_leaves_the_line_at_once(facility: Facility) -> None:
    row = instance(facility, facility.ada, State.STOPPED)
    fill(facility, facility.bob)
    start(row.pk, acting_user=facility.ada)
    assert stop(row.pk, acting_user=facility.ada).state == State.STOPPED
    row.refresh_from_db()
    assert (row.waiting_since, row.desired, row.cloud) == (None, Desired.STOPPED, facility.cloud)
    assert actions() == [("instance.start", "Ada Lind"), ("instance.stop", "Ada Lind")]


def test_deleting_what_never_had_a_place_needs_no_worker(facility: Facility) -> None:
    fill(facility, facility.bob)
    made = launch(acting_user=facility.ada, **ask(facility))
    assert delete(made.pk, acting_user=facility.ada).state == State.DELETED
    made.refresh_from_db()
    assert (made.state, made.waiting_since, made.desired) == (State.DELETED, None, Desired.DELETED)
    assert actions() == [
        ("instance.launch", "Ada Lind"),
        ("instance.delete", "Ada Lind"),
        ("instance.deleted", "system"),
    ]


def test_what_never_had_a_place_can_be_stopped_started_again_and_deleted(facility: Facility) -> None:
    running = fill(facility, facility.bob)
    made = launch(acting_user=facility.ada, **ask(facility))
    stop(made.pk, acting_user=facility.ada)
    assert start(made.pk, acting_user=facility.ada).waiting_since
    stop(made.pk, acting_user=facility.ada)
    end(running[0])
    assert start(made.pk, acting_user=facility.ada).cloud == facility.cloud
    end(made)
    Instance.objects.filter(pk=made.pk).update(cloud=None)
    assert delete(made.pk, acting_user=facility.ada).state == State.DELETED


def test_deleting_a_start_that_waits_is_its_cloud_s_to_confirm(facility: Facility, cloud: ScriptedCloud) -> None:
    row = instance(facility, facility.ada, State.STOPPED)
    fill(facility, facility.bob)
    start(row.pk, acting_user=facility.ada)
    assert delete(row.pk, acting_user=facility.ada).state == State.DELETING
    worker.reconcile(row.pk)
    row.refresh_from_db()
    assert row.state == State.DELETED and "observe" in cloud.calls


def test_a_right_that_ends_takes_it_out_of_the_line(facility: Facility) -> None:
    fill(facility, facility.ada)
    made = launch(acting_user=facility.bob, **ask(facility))
    facility.bob.participations.all().delete()
    rights.announce(users=[facility.bob.pk], because="your part in HC-1 has ended")
    made.refresh_from_db()
    assert (made.state, made.waiting_since, made.withheld, made.grants) == (State.STOPPED, None, "", [])


def test_the_launch_page_knows_one_s_position_and_the_next_end(facility: Facility) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    fill(facility, facility.bob)
    Instance.objects.filter(name="Running 3").update(expires=tomorrow)
    for _ in range(2):
        launch(acting_user=facility.bob, **ask(facility))
    (choice,) = [c for c in flavour_choices([], acting_user=facility.ada) if c.flavour == facility.small]
    assert choice.available and choice.because == "This machine has 0.0 GB of memory free now."
    assert (choice.position, choice.next_end) == (2, tomorrow)  # after Bob's first, before his second
    (choice,) = [c for c in flavour_choices([], acting_user=facility.bob) if c.flavour == facility.small]
    assert choice.position == 3


def test_the_outlook_says_why_and_by_when(facility: Facility) -> None:
    ends = [timezone.now() + timedelta(hours=n) for n in (5, 3)]
    running = fill(facility, facility.bob)
    for row, at in zip(running, ends, strict=False):
        Instance.objects.filter(pk=row.pk).update(expires=at)
    made = [launch(acting_user=user, **ask(facility)) for user in (facility.ada, facility.bob, facility.sci)]
    seen = [queue.outlook(row) for row in made]
    found = [(turn.position, turn.of, turn.by) for turn in seen if turn]
    assert found == [(1, 3, ends[1]), (2, 3, ends[0]), (3, 3, None)]
    assert seen[0] and seen[0].because == "This machine has 0.0 GB of memory free now."
    assert queue.outlook(running[0]) is None


@pytest.mark.django_db(transaction=True)
def test_three_workers_who_place_at_once_place_everybody_once(facility: Facility) -> None:
    Cloud.objects.update(capacity=CAPACITY | {"memory_mb": 40 * 1024})
    now = timezone.now()
    for n in range(60):
        instance(facility, facility.ada, State.QUEUED, cloud=None, waiting_since=now, name=f"Waiting {n}")
    given: list[int] = []

    def work() -> None:
        for _ in range(6):
            given.append(placing.place())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(given) == 40 and len(waiting()) == 20
    assert AuditEvent.objects.filter(action="instance.place").count() == 40
    assert len(set(AuditEvent.objects.values_list("target", flat=True))) == 40


@pytest.mark.django_db(transaction=True)
def test_leaving_the_line_and_being_placed_at_once_end_in_one_or_the_other(facility: Facility) -> None:
    Cloud.objects.update(capacity=CAPACITY | {"memory_mb": 1 << 20})
    now = timezone.now()
    rows = [instance(facility, facility.ada, State.QUEUED, cloud=None, waiting_since=now) for _ in range(20)]

    def leave() -> None:
        for row in rows:
            delete(row.pk, acting_user=facility.ada)
        connections.close_all()

    def work() -> None:
        placing.place()
        connections.close_all()

    threads = [threading.Thread(target=leave), threading.Thread(target=work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for row in rows:
        row.refresh_from_db()
        assert row.waiting_since is None
        assert (row.state, row.cloud) in ((State.DELETED, None), (State.DELETING, facility.cloud))


def crowd(facility: Facility, count: int) -> None:
    """So many who each wait for one."""
    people = [person(f"w{n}", f"Waiter {n}") for n in range(count)]
    shared = {"environment": facility.desktop, "flavour": facility.small, "waiting_since": timezone.now()}
    Instance.objects.bulk_create(Instance(name="w", owner=owner, **shared) for owner in people)


def test_a_launch_costs_no_more_however_long_the_line_is(
    facility: Facility, django_assert_max_num_queries: Any
) -> None:
    fill(facility, facility.bob)
    crowd(facility, 500)
    Participation.objects.get_or_create(user=facility.eve, experiment=facility.running, part=Part.PARTICIPANT)
    with django_assert_max_num_queries(40):
        launch(acting_user=facility.eve, **ask(facility))


def test_looking_for_room_costs_the_same_however_long_the_line_is(
    facility: Facility, django_assert_max_num_queries: Any
) -> None:
    fill(facility, facility.bob)
    crowd(facility, 500)
    with django_assert_max_num_queries(14):
        assert placing.place() == 0
    with django_assert_max_num_queries(12):
        assert queue.turns(Instance.objects.filter(owner__username="w499"))
    with django_assert_max_num_queries(16):
        flavour_choices([], acting_user=facility.ada)
