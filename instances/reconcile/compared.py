"""Instances as drift shows them: what is wanted, what was seen, since when they differ, and what follows.

Two ways to see: as the rows last had it, which needs no cloud, and in a list that was asked for just now.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from instances.models import Cloud, Instance
from instances.providers.base import Observed
from instances.services.clouds import kind_of
from instances.states import Desired, Phase, State

from .drift import Around, Drift, drift, seen, words
from .guard import THRESHOLD
from .plan import PATIENCE
from .worker import wish_of


@dataclass(frozen=True, slots=True)
class Compared:
    instance: Instance
    wanted: str
    seen: str
    drift: Drift
    since: datetime | None
    """Of the difference, as far as the rows tell; None where there is none."""
    held: bool
    """A worker has it in hand."""


def as_last_seen(instances: Iterable[Instance]) -> list[Compared]:
    """Of the rows alone. No query when environments and clouds came with them."""
    now = timezone.now()
    return [compare(instance, last_seen(instance), now) for instance in instances]


def last_seen(instance: Instance) -> Observed:
    if instance.missing_since:
        return Observed(Phase.ABSENT)
    return Observed(Phase(instance.phase), instance.observed_generation, frozenset(instance.apps_ready))


def compare(instance: Instance, observed: Observed, now: datetime) -> Compared:
    cloud = instance.cloud
    around = Around(
        waiting=instance.waiting_since is not None,
        trouble=cloud.trouble if cloud else "",
        spared=bool(cloud and is_spared(cloud, now)),
        failures=instance.failures,
        message=instance.message,
    )
    patience = kind_of(cloud).patience if cloud else PATIENCE
    wish = wish_of(instance, observed)
    found = drift(wish, observed, around, waited=now - instance.state_since, patience=patience)
    return Compared(
        instance,
        words(Desired(instance.desired), instance.generation),
        seen(observed),
        found,
        None if found.agrees else _since(instance),
        bool(instance.lease and instance.lease_until and instance.lease_until > now),
    )


def is_spared(cloud: Cloud, now: datetime) -> bool:
    """Its circuit breaker is open."""
    return cloud.failures >= THRESHOLD and cloud.closed_until is not None and cloud.closed_until > now


def _since(instance: Instance) -> datetime:
    if at := instance.missing_since or instance.waiting_since:
        return at
    settled = State(instance.state).settled
    return instance.observed_at or instance.state_since if settled else instance.state_since
