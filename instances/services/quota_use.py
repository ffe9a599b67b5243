"""How much of every quota is in use, for those who set them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from auth.models import Instrument, Proposal, RoleGrant, User
from instances.models import Instance, Quota
from instances.quotas import Amount, Gauge, Scope
from instances.states import State

from . import quotas

TOGETHER = 0
"""Everybody, as if they were one subject."""
Use = Mapping[int, Amount]
MODELS: dict[str, type[User | Proposal | Instrument]] = {
    Scope.PERSON: User,
    Scope.PROPOSAL: Proposal,
    Scope.INSTRUMENT: Instrument,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One limit with its use. Of a quota that holds for many: that of whoever uses most, with the name."""

    gauge: Gauge
    whose: str = ""


def readings(rows: Collection[Quota]) -> list[tuple[Quota, list[Reading]]]:
    """The widest first. A bounded number of queries, however many quotas there are."""
    use = _use()
    subjects = _subjects(rows, use)
    top = {row.pk: {name: _most(use[row.scope], subjects[row.pk], name) for name, _ in row.limits} for row in rows}
    names = _names(rows, top)
    order = list(Scope)
    found = []
    for row in sorted(rows, key=lambda row: (order.index(Scope(row.scope)), subject_of(row) is not None, str(row))):
        read = []
        for name, limit in row.limits:
            subject = top[row.pk][name]
            used = use[row.scope][subject].of(name) if subject is not None else 0
            whose = names.get((_kind(row), subject), "") if used and subject is not None else ""
            read.append(Reading(Gauge(name, limit, used, max(0, limit - used)), whose))
        found.append((row, read))
    return found


def subject_of(row: Quota) -> int | None:
    """Whom it names; None for those that hold for many."""
    return row.user_id or row.proposal_id or row.instrument_id


def _use() -> dict[str, Use]:
    there = Instance.objects.exclude(state=State.DELETED)
    chosen = there.filter(experiments__isnull=False)
    people = quotas.used_by(there, quotas.PERSON)
    return {
        Scope.GLOBAL: {TOGETHER: sum(people.values(), Amount())},
        Scope.PERSON: people,
        Scope.ROLE: people,
        Scope.PROPOSAL: quotas.used_by(chosen, F("experiments__proposal_id")),
        Scope.INSTRUMENT: quotas.used_by(chosen, F("experiments__instrument_id")),
    }


def _subjects(rows: Collection[Quota], use: dict[str, Use]) -> dict[int, set[int]]:
    """By quota, whose use counts against it: of a default only of those for whom nothing else is set."""
    holders: dict[str, set[int]] = defaultdict(set)
    roles = {row.role for row in rows if row.role}
    held = RoleGrant.objects.in_force(timezone.now()).filter(role__in=roles)
    for role, person in held.values_list("role", Coalesce("user__linked_to", "user")):
        holders[role].add(person)
    named: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if (subject := subject_of(row)) is not None:
            named[row.scope].add(subject)
    found = {}
    for row in rows:
        subject, there = subject_of(row), set(use[row.scope])
        if subject is not None:
            found[row.pk] = there & {subject}
        elif row.scope == Scope.ROLE:
            found[row.pk] = there & holders[row.role] - named[Scope.PERSON]
        elif row.scope == Scope.PERSON:
            found[row.pk] = there - named[Scope.PERSON] - set().union(*holders.values())
        else:
            found[row.pk] = there - named[row.scope]
    return found


def _most(use: Use, subjects: Collection[int], resource: str) -> int | None:
    return max(sorted(subjects), key=lambda subject: use[subject].of(resource), default=None)


def _names(rows: Collection[Quota], top: Mapping[int, Mapping[str, int | None]]) -> dict[tuple[str, int], str]:
    """Of those who use most of what holds for many."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if subject_of(row) is None and row.scope != Scope.GLOBAL:
            wanted[_kind(row)] |= {subject for subject in top[row.pk].values() if subject is not None}
    return {
        (kind, pk): str(named)
        for kind, pks in wanted.items()
        for pk, named in MODELS[kind]._default_manager.in_bulk(pks).items()
    }


def _kind(row: Quota) -> str:
    return Scope.PERSON if row.scope == Scope.ROLE else Scope(row.scope)
