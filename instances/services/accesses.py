"""Who has accessed an experiment's data: what instances had it mounted, and who sat in them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import DateTimeField, F, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from auth.models import AuditEvent, Experiment
from instances.models import Connection, Instance

ROWS = 20
MOUNTED = {"instance.launch": "launched", "instance.start": "started", "instance.restart": "restarted"}


@dataclass(frozen=True, slots=True)
class Access:
    """`how` is launched, started or restarted, or what was opened: "Desktop, control"."""

    who: str
    at: datetime
    closed: datetime | None
    is_connection: bool
    instance: Instance | None
    how: str

    @property
    def took(self) -> timedelta | None:
        """None while it lasts, and where nobody sat."""
        return self.closed - self.at if self.closed else None


def accesses_of(experiment: Experiment, *, page: str | None = None) -> tuple[Page[Any], list[Access]]:
    """The latest first. Whoever calls this has asked `policy.may_review_access`."""
    ids = list(experiment.instances.values_list("pk", flat=True))
    found = Paginator(_rows(ids), ROWS).get_page(page)
    rows = list(found.object_list)
    named = Instance.objects.in_bulk({UUID(target.partition(":")[2]) for _, _, _, target, _, _ in rows})
    return found, [
        Access(
            who=who,
            at=at,
            closed=closed,
            is_connection=connection,
            instance=named.get(UUID(target.partition(":")[2])),
            how=MOUNTED.get(how, how),
        )
        for at, closed, who, target, how, connection in rows
    ]


def _rows(ids: list[UUID]) -> QuerySet[Any, Any]:
    """(at, closed, who, target, how, whether it was a connection) of both kinds, in one ordered query."""
    columns = ("when", "ended", "who", "subject", "how", "seat")
    mounts = AuditEvent.objects.filter(target__in=[f"instance:{pk}" for pk in ids], action__in=MOUNTED).annotate(
        when=F("at"),
        ended=Value(None, output_field=DateTimeField(null=True)),
        who=F("actor_name"),
        subject=F("target"),
        how=F("action"),
        seat=Value(False),
    )
    seats = Connection.objects.filter(instance__in=ids).annotate(
        when=F("opened"),
        ended=F("closed"),
        who=F("user__name"),
        subject=Concat(Value("instance:"), Cast("instance_id", TextField()), output_field=TextField()),
        how=Concat("app", Value(", "), "mode", output_field=TextField()),
        seat=Value(True),
    )
    both = mounts.order_by().values_list(*columns).union(seats.order_by().values_list(*columns), all=True)
    return both.order_by("-when")
