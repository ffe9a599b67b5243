"""Giving places to those in line, in their turn, as soon as there is room. Any number of workers may do so."""

from django.db import connection, transaction
from django.utils import timezone

from auth import audit
from instances import queueing
from instances.models import Cloud, Instance, InstanceEvent
from instances.services import placement, queue, quotas, transitions
from instances.services.wake import wake
from instances.states import Desired, Progress, State

BATCH = 25
"""So many at once: a launch waits for this long at most."""


def place() -> int:
    """How many got a place. One worker does it, the others have nothing to do meanwhile."""
    given = 0
    while Instance.objects.filter(queue.WAITING).exists():
        found = _some()
        given += found
        if found < BATCH:
            break
    return given


@transaction.atomic
def _some() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('visa.queue'))")
        if not cursor.fetchone()[0]:
            return 0
    quotas.lock()
    line = queue.standing()
    clouds = line.clouds.values()
    assigned = queueing.assign(line.waiters, placement.rooms(clouds, placement.in_use(clouds)))
    next_ones = [waiter.id for waiter in line.waiters if waiter.id in assigned][:BATCH]
    # Whoever is being stopped or deleted at this moment is passed over, and looked at again in the next round.
    rows = list(
        Instance.objects.filter(
            queue.WAITING, pk__in=next_ones, desired=Desired.RUNNING, state=State.QUEUED
        ).select_for_update(skip_locked=True)
    )
    if rows:
        _give(rows, {row.pk: line.clouds[assigned[row.pk]] for row in rows})
    return len(rows)


def _give(rows: list[Instance], clouds: dict[object, Cloud]) -> None:
    now = timezone.now()
    waited = {row.pk: (now - row.waiting_since).total_seconds() for row in rows if row.waiting_since}
    for row in rows:
        row.cloud, row.waiting_since, row.placed_at, row.due = clouds[row.pk], None, now, now
        row.state_since = now  # the time in line does not count towards how long a start may take
    Instance.objects.bulk_update(rows, ["cloud", "waiting_since", "placed_at", "due", "state_since"])
    InstanceEvent.objects.bulk_create(
        InstanceEvent(instance=row, generation=row.generation, step=Progress.QUEUED, message=f"Room on {row.cloud}")
        for row in rows
    )
    for row in rows:
        transitions.tell(row)
        wake(row.pk)
    queue.moved()
    for row in rows:
        audit.record(
            "instance.place",
            f"instance:{row.pk}",
            actor=None,
            because="Its turn has come and there is room",
            detail={"cloud": clouds[row.pk].name, "waited": round(waited[row.pk], 1)},
        )
