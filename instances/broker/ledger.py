"""What brokers write together about live seats: heartbeats, and the ends that nobody else writes. Synchronous."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from auth import audit
from auth.models import User
from instances.models import Connection
from instances.models.connection import App
from instances.states import OPEN

from . import tickets
from .endings import GONE, LOST, REVOKED, Ending

LOST_AFTER = timedelta(seconds=30)
IDLE_AFTER = timedelta(hours=12)
"""An app's seat is a cookie, not a socket: it lasts this long after its last traffic, whichever broker serves it."""
BATCH = 200


@dataclass(frozen=True, slots=True)
class Beat:
    """What moved at one seat since the last beat; bytes from and to the browser."""

    seat: UUID
    bytes_in: int
    bytes_out: int
    input_at: datetime | None


def beat(broker: str, beats: list[Beat]) -> dict[UUID, Ending]:
    """Renew the leases in one UPDATE. Returns the seats that somebody has ended meanwhile."""
    if not beats:
        return {}
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE instances_connection AS c SET heartbeat = now(), broker = %s,"
            " bytes_in = c.bytes_in + v.bytes_in, bytes_out = c.bytes_out + v.bytes_out,"
            " input_at = greatest(c.input_at, v.input_at)"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[])"
            " AS v (id, bytes_in, bytes_out, input_at) WHERE c.id = v.id AND c.closed IS NULL RETURNING c.id",
            [
                broker,
                [b.seat for b in beats],
                [b.bytes_in for b in beats],
                [b.bytes_out for b in beats],
                [b.input_at for b in beats],
            ],
        )
        alive = {row[0] for row in cursor.fetchall()}
    return _ended(b.seat for b in beats if b.seat not in alive)


def note_clipboards(pasted: list[tuple[tickets.Admission, list[int]]]) -> None:
    """That somebody's clipboard went into an instance: how often and how many bytes, never what."""
    for seat, lengths in pasted:
        with transaction.atomic():
            user = User.objects.get(pk=seat.user)
            detail = {"connection": str(seat.connection), "times": len(lengths), "bytes": sum(lengths)}
            audit.record("clipboard.in", f"instance:{seat.instance}", actor=user.as_actor(), detail=detail)


def standing(seats: list[UUID]) -> dict[UUID, Ending]:
    """Of live seats, those whose rows say that they should have ended: a look that misses no message."""
    ended = _ended(seats)
    columns = ("pk", "user__is_active", "instance__state", "instance__withheld")
    for seat, active, state, withheld in Connection.objects.filter(pk__in=seats, closed=None).values_list(*columns):
        if not active:
            ended[seat] = Ending(REVOKED, "Your account is closed.")
        elif withheld:
            ended[seat] = Ending(REVOKED, withheld)
        elif state not in OPEN:
            ended[seat] = GONE
    return ended


def sweep() -> int:
    """End the seats of dead brokers and of forgotten cookies. Any broker may; returns how many it ended."""
    lost = Q(app=App.DESKTOP, heartbeat__lt=Now() - LOST_AFTER)
    idle = ~Q(app=App.DESKTOP) & Q(heartbeat__lt=Now() - IDLE_AFTER)
    ended = _end(lost, Ending(LOST.code, "broker lost")) + _end(idle, Ending(LOST.code, "idle"))
    return ended


def end_apps(ending: Ending, **which: Any) -> int:
    """End the seats of web apps, which no broker holds, that match `which`."""
    return _end(~Q(app=App.DESKTOP) & Q(**which), ending)


def _end(which: Q, ending: Ending) -> int:
    with transaction.atomic():
        seats = list(
            Connection.objects.select_for_update(skip_locked=True)
            .filter(which, closed=None)
            .order_by("pk")
            .values_list("pk", flat=True)[:BATCH]
        )
        return sum(tickets.close(seat, ending) for seat in seats)


def _ended(seats: Iterable[UUID]) -> dict[UUID, Ending]:
    """Those of `seats` that are closed, or whose rows are gone."""
    wanted = list(seats)
    if not wanted:
        return {}
    known = dict(Connection.objects.filter(pk__in=wanted).values_list("pk", "reason"))
    open_seats = set(Connection.objects.filter(pk__in=wanted, closed=None).values_list("pk", flat=True))
    return {
        seat: LOST if known.get(seat) == "broker lost" else Ending(REVOKED, known.get(seat) or "revoked")
        for seat in wanted
        if seat not in open_seats
    }
