"""When an instance ends, and what its owner is to be told before. Pure: the whole judgement about time is here.

A ladder: whoever leaves an instance alone, or lets its lifetime pass, is warned; then it is stopped, with home and data
kept; what stays stopped for long is warned of again, and deleted. Nothing is done without its last warning, and never
sooner after that warning than it promised: after an outage of the portal the end moves, the warning does not shrink.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from instances.states import Phase, State

FIRST, LAST = timedelta(hours=48), timedelta(hours=24)
"""How long before an end its two warnings are given."""
MOMENT = timedelta(minutes=2)
"""How soon to look again at what may change without anybody telling: activity ends an idle warning."""
FAR = timedelta(days=30)
RUNS = (Phase.RUNNING, Phase.STARTING)


class End(StrEnum):
    """What ends an instance's time; also under what a warning is kept in its row."""

    LIFETIME = "lifetime"
    IDLE = "idle"
    DELETION = "deletion"


class Act(StrEnum):
    BEGIN = "begin"
    """Its lifetime begins now: it has just become ready."""
    WARN = "warn"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Rule:
    """None: no end, never stopped for idleness, never deleted."""

    lifetime: timedelta | None = None
    idle: timedelta | None = None
    kept: timedelta | None = None
    """How long it may be stopped before it is deleted."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that was given: of which deadline, when, whether it was the last one, and the end that it promised."""

    of: datetime
    at: datetime
    last: bool
    end: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    state: State
    state_since: datetime
    phase: Phase = Phase.RUNNING
    expires: datetime | None = None
    active_at: datetime | None = None
    """When somebody or something last worked in it, as far as is known."""
    activity_known: bool = True
    """False: whether something computes in it could not be found out. That is never taken for idleness."""
    keep_until: datetime | None = None
    pinned: bool = False
    warned: Mapping[End, Notice] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be done now. `end`: when the instance is stopped or deleted, or its lifetime's end on BEGIN."""

    act: Act
    because: End
    end: datetime
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    due: Due | None
    review_at: datetime
    next: tuple[End, datetime] | None = None
    """The next end as things are, if there is one."""
    void: frozenset[End] = frozenset()
    """Warnings that were given and hold no longer: that end does not come, or comes at another time."""


def outlook(facts: Facts, rule: Rule, now: datetime) -> Outlook:
    """What is due now, if anything, and when to look again. Every change of its state is a reason to look sooner."""
    paths = _paths(facts, rule)
    void = _void(facts, paths)
    if facts.state is State.READY and not facts.pinned and facts.expires is None and rule.lifetime is not None:
        begins = Due(Act.BEGIN, End.LIFETIME, now + rule.lifetime)
        return Outlook(begins, now, None, void)
    steps = [
        _step(end, deadline, whole, facts.warned.get(end), now)
        for end, (deadline, whole) in paths.items()
        if end is not End.IDLE or facts.activity_known
    ]
    # What is done comes before what is said; of two ends the nearer one.
    steps.sort(key=lambda step: (step.due is None, step.due is not None and step.due.act is Act.WARN, step.end))
    review = min((step.again for step in steps), default=now + FAR)
    if End.IDLE in facts.warned and End.IDLE not in void:
        review = min(review, now + MOMENT)
    if not facts.activity_known and idle_matters(facts, rule, now):
        review = min(review, now + MOMENT)
    nearest = min(steps, key=lambda step: step.end, default=None)
    return Outlook(
        steps[0].due if steps else None,
        max(review, now),
        (nearest.because, nearest.end) if nearest else None,
        void,
    )


def idle_since(facts: Facts) -> datetime:
    """Since when nothing is known to have happened in it."""
    return max(facts.state_since, facts.active_at or facts.state_since)


def idle_matters(facts: Facts, rule: Rule, now: datetime) -> bool:
    """Whether it would be warned of or stopped now, if nothing computes in it: worth asking what does."""
    if facts.state is not State.READY or facts.pinned or rule.idle is None:
        return False
    return now >= _idle_deadline(facts, rule.idle) - leads(rule.idle)[1]


def leads(whole: timedelta) -> tuple[timedelta, timedelta]:
    """How long before its end a time of this length is warned of, first and last: 48 and 24 h, less for a short one."""
    return min(FIRST, whole / 2), min(LAST, whole / 4)


def _paths(facts: Facts, rule: Rule) -> dict[End, tuple[datetime, timedelta]]:
    """The ends that it is on its way to, each with its deadline and the length of time that leads there.

    Nothing leads anywhere from UNKNOWN, or while something is under way.
    """
    if facts.pinned:
        return {}
    paths = {}
    if facts.state is State.READY:
        if facts.expires is not None:
            paths[End.LIFETIME] = (facts.expires, rule.lifetime if rule.lifetime is not None else FAR)
        if rule.idle is not None:
            paths[End.IDLE] = (_idle_deadline(facts, rule.idle), rule.idle)
    elif rule.kept is not None and facts.state in (State.STOPPED, State.FAILED) and facts.phase not in RUNS:
        paths[End.DELETION] = (facts.state_since + rule.kept, rule.kept)
    return paths


def _void(facts: Facts, paths: Mapping[End, tuple[datetime, timedelta]]) -> frozenset[End]:
    if not facts.state.settled and not facts.pinned:
        return frozenset()  # wherever it is on its way to, the warning may hold there
    return frozenset(end for end, given in facts.warned.items() if end not in paths or paths[end][0] != given.of)


def _idle_deadline(facts: Facts, idle: timedelta) -> datetime:
    deadline = idle_since(facts) + idle
    return max(deadline, facts.keep_until) if facts.keep_until else deadline


@dataclass(frozen=True, slots=True)
class _Step:
    because: End
    end: datetime
    due: Due | None
    again: datetime


def _step(because: End, deadline: datetime, whole: timedelta, given: Notice | None, now: datetime) -> _Step:
    first, last = leads(whole)
    told = given if given is not None and given.of == deadline else None
    if told is not None and told.last:
        end = max(deadline, told.at + last)
        if now < end:
            return _Step(because, end, None, end)
        act = Act.DELETE if because is End.DELETION else Act.STOP
        return _Step(because, end, Due(act, because, end), now)
    end = max(deadline, now + last)
    if now >= deadline - last:
        return _Step(because, end, Due(Act.WARN, because, end, Notice(deadline, now, True, end)), end)
    if because is End.IDLE or told is not None:
        return _Step(because, end, None, deadline - last)
    if now >= deadline - first:
        return _Step(because, end, Due(Act.WARN, because, end, Notice(deadline, now, False, end)), deadline - last)
    return _Step(because, end, None, deadline - first)
