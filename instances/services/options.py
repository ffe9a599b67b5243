"""Everything that the launch page shows before a choice is made."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from auth.access import Actor, Decision
from auth.data import DataGrant
from auth.models import User
from instances.models import Cloud, Environment, Flavour
from instances.policy import may_launch
from instances.queueing import assign
from instances.quotas import Bound, shortfall

from . import placement, queue, quotas
from .display import KEYBOARDS, RESOLUTIONS
from .experiments import Share, entitlements_of, known_to, searched, takes_part

MOST, MOST_OPEN = 200, 25
"""Experiments of one's own, and open ones, that one page lists; the search finds the others."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Experiments that are to be listed in any case, by id, proposal or DOI in lower case."""

    ids: frozenset[int] = frozenset()
    proposals: frozenset[str] = frozenset()
    dois: frozenset[str] = frozenset()

    @property
    def condition(self) -> Q:
        return Q(pk__in=self.ids) | Q(proposal__code__in=self.proposals) | Q(doi__in=self.dois)


NOTHING = Wanted()


@dataclass(frozen=True, slots=True)
class ExperimentChoice:
    id: int
    proposal: str
    title: str
    instrument: str
    start: datetime
    end: datetime
    phase: str
    is_open: bool
    doi: str
    because: str
    grants: tuple[DataGrant, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentChoice:
    environment: Environment
    available: bool
    because: str


@dataclass(frozen=True, slots=True)
class FlavourChoice:
    flavour: Flavour
    available: bool
    """It can be chosen; `position` says whether one then waits."""
    because: str
    position: int | None = None
    """In line, for whoever launches it now; None: it starts at once."""
    next_end: datetime | None = None
    """Where it is full: when the first lifetime ends that makes room; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    decision: Decision
    experiments: tuple[ExperimentChoice, ...]
    more: bool
    """There are further experiments, which a search finds."""
    environments: list[EnvironmentChoice]
    keyboards: list[tuple[str, str]]
    resolutions: list[tuple[int, int]]
    remembered: dict[str, Any]
    notes: list[str]
    """What the clouds say of their own limits."""


def launch_options(*, acting_user: User, wanted: Wanted = NOTHING) -> LaunchOptions:
    """Experiments running now first, then the newest. `flavour_choices` depend on those that are chosen."""
    actor = acting_user.as_actor()
    experiments, more = experiment_choices(actor, wanted=wanted)
    clouds = list(Cloud.objects.filter(enabled=True))
    return LaunchOptions(
        decision=may_launch(actor, takes_part=takes_part(actor)),
        experiments=experiments,
        more=more,
        environments=environment_choices(clouds),
        keyboards=KEYBOARDS,
        resolutions=RESOLUTIONS,
        remembered=acting_user.preferences.get("launch", {}),
        notes=[note for cloud in clouds if cloud.limits for note in cloud.limits.notes],
    )


def experiment_choices(
    actor: Actor, *, wanted: Wanted = NOTHING, search: str = ""
) -> tuple[tuple[ExperimentChoice, ...], bool]:
    """What is `wanted`, then what fits the `search`, one's own before open data; and whether there is more of it."""
    now = timezone.now()
    named = list(known_to(actor, at=now).alias(doi=Lower("proposal__doi")).filter(wanted.condition)[:MOST])
    yours = list(searched(known_to(actor, at=now, share=Share.YOURS), search)[: MOST + 1])
    public = list(searched(known_to(actor, at=now, share=Share.OPEN), search)[: MOST_OPEN + 1])
    more = len(yours) > MOST or len(public) > MOST_OPEN
    experiments = list({e.pk: e for e in [*named, *yours[:MOST], *public[:MOST_OPEN]]}.values())
    entitlements = entitlements_of(actor, experiments, at=now)
    choices = [
        ExperimentChoice(
            id=e.pk,
            proposal=str(e.proposal),
            title=e.title,
            instrument=str(e.instrument),
            start=e.start,
            end=e.end,
            phase=e.phase(now),
            is_open=e.facts.is_open(now.date()),
            doi=e.proposal.doi,
            because=entitlements[e.pk].because,
            grants=entitlements[e.pk].grants,
        )
        for e in experiments
        if entitlements[e.pk]
    ]
    choices.sort(key=lambda choice: choice.phase != "running")
    return tuple(choices), more


def environment_choices(clouds: list[Cloud]) -> list[EnvironmentChoice]:
    """Those that some cloud can start, and the others with the reason."""
    choices = []
    for environment in Environment.objects.filter(visible=True):
        where = [cloud.title for cloud in clouds if cloud.limits and environment.image in cloud.limits.images]
        because = (
            f"Starts on {', '.join(where)}" if where else "Not available now: no cloud has its software installed."
        )
        choices.append(EnvironmentChoice(environment, bool(where), because))
    return choices


def bounds_for(experiments: Iterable[int], *, acting_user: User) -> list[Bound]:
    """The quotas that hold for a launch with these experiments, as far as one may know of them."""
    actor = acting_user.as_actor()
    return quotas.bounds_of(actor, known_to(actor).filter(pk__in=list(experiments)[:MOST]))


def flavour_choices(bounds: list[Bound], *, acting_user: User) -> list[FlavourChoice]:
    """All of them: with the reason where one cannot be had, with one's position in line where it is full now."""
    flavours = list(Flavour.objects.filter(visible=True))
    clouds = placement.clouds_of(flavours)
    used = placement.in_use(Cloud.objects.filter(enabled=True))
    line = queue.standing()
    choices = []
    for flavour in flavours:
        offer = placement.offer(flavour, clouds[flavour.pk], used)
        short = shortfall(bounds, quotas.wanted_by(flavour))
        if not offer.possible or short:
            choices.append(FlavourChoice(flavour, False, short if offer.possible else offer.because))
        else:
            choices.append(_choice(flavour, offer, line, acting_user.linked_to_id or acting_user.pk, used))
    return choices


def _choice(
    flavour: Flavour, offer: placement.Offer, line: queue.Line, person: int, used: dict[int, placement.InUse]
) -> FlavourChoice:
    """Without a position where there is room even after those in line have got theirs."""
    joined, newcomer = line.joined_by(person, flavour, offer.possible)
    if offer.cloud:
        rooms = placement.rooms(offer.possible, used)
        if not line.waiters or newcomer.id in assign(joined.waiters, rooms):
            return FlavourChoice(flavour, True, offer.because)
    because = "Others wait for it already." if offer.cloud else offer.because
    ends = queue.endings(offer.possible, newcomer.kind)
    return FlavourChoice(flavour, True, because, joined.turn_of(newcomer).position, ends[0][0] if ends else None)
