"""What is wanted against what was last seen, as a condition that the database filters by; and a second look by hand."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from auth import audit
from auth.models import User
from instances.errors import Conflict, NotFound
from instances.models import Instance, Stray
from instances.states import Desired, Phase, State

from .roles import as_administrator
from .wake import wake

AT_REST = (Phase.ABSENT, Phase.STOPPED, Phase.FAILED)
AGREES = Q(missing_since=None, waiting_since=None) & (
    Q(
        desired=Desired.RUNNING,
        state=State.READY,
        phase=Phase.RUNNING,
        observed_generation__gte=F("generation"),
        apps_ready__contains=F("environment__apps"),
    )
    | Q(desired=Desired.STOPPED, state__in=[State.STOPPED, State.FAILED], phase__in=AT_REST)
)
"""What is wanted is what was last seen. The twin of `reconcile.drift.agrees`; a test compares the two."""


@dataclass(frozen=True, slots=True)
class Counts:
    differing: int
    orphans: int
    copies: int

    @property
    def total(self) -> int:
        return self.differing + self.orphans + self.copies

    @property
    def nothing(self) -> bool:
        return not self.total


def living() -> QuerySet[Instance]:
    return Instance.objects.exclude(state=State.DELETED)


def differing() -> QuerySet[Instance]:
    return living().exclude(AGREES)


def counts() -> Counts:
    kinds = dict(Stray.objects.order_by().values_list("kind").annotate(Count("pk")))
    return Counts(
        differing=differing().count(),
        orphans=kinds.get(Stray.Kind.ORPHAN, 0),
        copies=kinds.get(Stray.Kind.DUPLICATE, 0),
    )


def look_again(instance_id: UUID, *, acting_user: User) -> Instance:
    """A worker asks its cloud for it now, however patient it had become. Conflict while it waits for a place."""
    actor = as_administrator(acting_user)
    with transaction.atomic():
        rows = living().select_for_update(of=("self",)).defer("thumbnail")
        instance = rows.filter(pk=instance_id).first()
        if instance is None:
            raise NotFound("There is no such instance.")
        if instance.waiting_since or instance.cloud_id is None:
            raise Conflict("It waits in line for a place: no cloud has it, so there is none to ask.")
        Instance.objects.filter(pk=instance.pk).update(due=timezone.now())
        wake(instance.pk)
        audit.record("instance.look_again", f"instance:{instance.pk}", actor=actor)
    return instance
