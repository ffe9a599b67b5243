"""The line for a place: joining it, one's turn in it, leaving it. `reconcile.queue` gives the places."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Max, Q
from django.utils import timezone

from auth import bus
from auth.access import Actor
from instances import queueing
from instances.errors import Conflict, Invalid
from instances.models import Cloud, Environment, Flavour, FlavourOffer, Instance
from instances.queueing import Waiter
from instances.states import Desired, State

from . import placement, transitions
from .quotas import ACTIVE, PERSON

WAITING = Q(waiting_since__isnull=False)
MOST_ENDINGS = 200
"""Of the lifetimes that end next, so many are looked at for an estimate."""


@dataclass(frozen=True, slots=True)
class Line:
    """Everybody in line, the next one first, and the enabled clouds."""

    waiters: list[Waiter]
    served: dict[int, datetime]
    clouds: dict[int, Cloud]

    def joined_by(self, person: int, flavour: Flavour, clouds: Iterable[Cloud]) -> tuple["Line", Waiter]:
        """As it would be if `person` launched now, and the newcomer in it."""
        kind = tuple(cloud.pk for cloud in clouds)
        newcomer = _waiter(uuid4(), person, timezone.now(), flavour, kind)
        waiters = queueing.in_turn([*self.waiters, newcomer], self.served)
        return Line(waiters, self.served, self.clouds), newcomer

    def turn_of_instance(self, pk: UUID) -> "Turn | None":
        """None: it does not wait, or not any longer."""
        own = next((waiter for waiter in self.waiters if waiter.id == pk), None)
        return self.turn_of(own) if own else None

    def turn_of(self, waiter: Waiter) -> "Turn":
        rivals = [other for other in self.waiters if other.competes_with(waiter)]
        ahead = next((n for n, other in enumerate(rivals) if other.id == waiter.id), len(rivals))
        return Turn(ahead + 1, max(len(rivals), ahead + 1), waiter.kind)


@dataclass(frozen=True, slots=True)
class Turn:
    """A position among those who wait for the same. `because` and `by` are known where they were asked for."""

    position: int
    of: int
    gpu_model: str = ""
    because: str = ""
    by: datetime | None = None
    """When, by the lifetimes of those that run, there should be room at the latest; None: nobody knows."""

    @property
    def what(self) -> str:
        """`2nd in line for an A40`."""
        article = "an" if self.gpu_model[:1] in set("AEFHILMNORSX8") else "a"
        return f"{ordinal(self.position)} in line for {f'{article} {self.gpu_model}' if self.gpu_model else 'a place'}"


def find_place(flavour: Flavour, environment: Environment, *, home: Cloud | None = None) -> Cloud | None:
    """Where it can run at once; None: it has to wait. Hold `quotas.lock`.

    Invalid where no cloud could ever run it, Conflict where its `home`, which it cannot leave, is switched off. Whoever
    comes while others wait for the same clouds waits with them, for a moment at least: the line knows whose turn it is.
    """
    if home and not home.enabled:
        raise Conflict(f"{home.title}, where it is, has been switched off. Launch a new one: your home comes with it.")
    clouds = [home] if home else placement.clouds_of([flavour])[flavour.pk]
    offer = placement.offer(flavour, clouds, placement.in_use(clouds), environment)
    if not offer.possible:
        raise Invalid({"flavour": offer.because})
    rivals = Q(cloud__in=offer.possible) | Q(cloud=None, flavour__offers__cloud__in=offer.possible)
    return None if Instance.objects.filter(WAITING, rivals).exists() else offer.cloud


def moved() -> None:
    """On commit, pages that show a position look again."""
    bus.announce("line")


def step_out(instance: Instance, *, actor: Actor | None, reason: str, action: str = "", **fields: Any) -> None:
    """Take it out of the line, within the caller's transaction; it is stopped, as it was or as if it had been."""
    moved()
    transitions.advance(
        instance,
        State.STOPPED,
        actor=actor,
        reason=reason,
        action=action,
        desired=Desired.STOPPED,
        waiting_since=None,
        **fields,
    )


def standing() -> Line:
    """The line as it is. Six queries, however long it is."""
    rows = list(
        Instance.objects.filter(WAITING, desired=Desired.RUNNING)
        .order_by()
        .annotate(person=PERSON)
        .values_list("id", "person", "waiting_since", "flavour_id", "environment_id", "cloud_id")
    )
    clouds = {cloud.pk: cloud for cloud in Cloud.objects.filter(enabled=True)}
    possible = _Possible({row[3] for row in rows}, {row[4] for row in rows}, clouds)
    waiters = [possible.waiter(pk, who, since, *kind) for pk, who, since, *kind in rows if since]
    served = _served(waiters)
    return Line(queueing.in_turn(waiters, served), served, clouds)


def turns(instances: Iterable[Instance]) -> dict[UUID, Turn]:
    """Of those of `instances` that wait. No query when none does."""
    waiting = {instance.pk for instance in instances if instance.waiting_since}
    if not waiting:
        return {}
    line = standing()
    return {waiter.id: line.turn_of(waiter) for waiter in line.waiters if waiter.id in waiting}


def outlook(instance: Instance) -> Turn | None:
    """Its turn with the reason and an estimate; None when it does not wait."""
    if not instance.waiting_since:
        return None
    line = standing()
    own = next((waiter for waiter in line.waiters if waiter.id == instance.pk), None)
    if own is None:
        return None
    turn = line.turn_of(own)
    clouds = [line.clouds[pk] for pk in own.clouds]
    used = placement.in_use(clouds)
    because = placement.offer(instance.flavour, clouds, used, instance.environment).because
    if turn.position > 1 and placement.offer(instance.flavour, clouds, used).cloud:
        because = "Others were here before you."
    ahead = [other for other in line.waiters if other.competes_with(own)][: turn.position]
    free = [placement.room(cloud.limits, used[cloud.pk]) for cloud in clouds if cloud.limits]
    by = queueing.expected((other.need for other in ahead), free, endings(clouds, own.kind))
    return Turn(turn.position, turn.of, turn.gpu_model, because, by)


def endings(clouds: Iterable[Cloud], gpu_model: str) -> list[tuple[datetime, queueing.Amounts]]:
    """When lifetimes of what runs there end, and what each sets free; with a model, of those that hold such a GPU."""
    rows = Instance.objects.filter(ACTIVE, cloud__in=list(clouds), waiting_since=None, expires__isnull=False, pinned="")
    rows = rows.exclude(state=State.DELETED).select_related("flavour").only("expires", "flavour")
    if gpu_model:
        rows = rows.filter(flavour__gpu_model=gpu_model)
    return [
        (row.expires, placement.need(row.flavour)) for row in rows.order_by("expires")[:MOST_ENDINGS] if row.expires
    ]


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    teen = 10 < number % 100 < 14
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


class _Possible:
    """Which clouds could run what, asked once for each kind of instance."""

    def __init__(self, flavours: set[int], environments: set[int], clouds: dict[int, Cloud]) -> None:
        self.flavours = Flavour.objects.in_bulk(flavours)
        self.environments = Environment.objects.in_bulk(environments)
        self.clouds = clouds
        self.offers: dict[int, list[Cloud]] = {pk: [] for pk in flavours}
        offers = FlavourOffer.objects.filter(flavour__in=flavours, cloud__in=clouds).order_by(
            "preference", "cloud__name"
        )
        for flavour, cloud in offers.values_list("flavour_id", "cloud_id"):
            self.offers[flavour].append(clouds[cloud])
        self.known: dict[tuple[int, int, int | None], tuple[int, ...]] = {}

    def waiter(
        self, pk: UUID, person: int, since: datetime, flavour: int, environment: int, home: int | None
    ) -> Waiter:
        kind = (flavour, environment, home)
        if kind not in self.known:
            of, runs = self.flavours[flavour], self.environments[environment]
            clouds = self.offers[flavour] if home is None else [self.clouds[home]] if home in self.clouds else []
            self.known[kind] = tuple(cloud.pk for cloud in clouds if not placement.never(of, cloud, runs))
        return _waiter(pk, person, since, self.flavours[flavour], self.known[kind])


def _waiter(pk: UUID, person: int, since: datetime, flavour: Flavour, clouds: tuple[int, ...]) -> Waiter:
    kind = flavour.gpu_model if flavour.gpu_count else ""
    return Waiter(pk, person, since, placement.need(flavour), clouds, kind)


def _served(waiters: list[Waiter]) -> dict[int, datetime]:
    """When people last got a place from the line, as far as that matters to those who are in it."""
    if not waiters:
        return {}
    since = min(waiter.since for waiter in waiters)
    rows = Instance.objects.filter(placed_at__gte=since).order_by().values_list(PERSON)
    return dict(rows.annotate(Max("placed_at")))
