"""Writing down what a cloud's list says: in bulk where nothing is to be done, by waking a worker where something is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from auth.rights import batched
from instances.models import Cloud, Instance
from instances.providers.base import Observed
from instances.services import transitions
from instances.services.clouds import kind_of
from instances.services.wake import wake_many
from instances.states import TRANSITIONS, Desired, Phase, State

from .plan import DOUBTED, SILENT, Act, Wish, believes, plan
from .sift import Known, Sifted

IN_BULK = {State.READY, State.STARTING, State.RESTARTING, State.UNKNOWN}
"""What needs no more than a word; every other state is reached by a worker that has asked for itself."""
AT_WORK = (State.READY, State.STARTING, State.RESTARTING, State.STOPPING)
"""What becomes UNKNOWN when its cloud falls silent; what is at rest stays as it was last seen."""
CHUNK = 200
ON_THE_WAY = (State.QUEUED, State.STARTING, State.RESTARTING)
FRESH_TICKS = 2
"""For so long what has just been asked for may be missing from a list without a doubt."""


@dataclass(frozen=True, slots=True)
class Row:
    """An instance of a cloud, as little of it as a tick needs."""

    pk: UUID
    known: Known
    environment: int
    state_since: datetime
    changed: datetime | None
    withheld: bool

    def changed_since(self, at: datetime) -> bool:
        """A list that is older than what is written says nothing about it."""
        return self.state_since >= at or bool(self.changed and self.changed >= at)


COLUMNS = (
    "pk",
    "state",
    "desired",
    "phase",
    "generation",
    "observed_generation",
    "apps_ready",
    "reference",
    "missing_since",
    "environment_id",
    "state_since",
    "observed_at",
    "withheld",
)


def rows_of(cloud: Cloud) -> dict[str, Row]:
    """Every instance that has its place in `cloud`, by its key. One query."""
    settled = timezone.now() - kind_of(cloud).tick * FRESH_TICKS
    found = {}
    wanted = Instance.objects.filter(cloud=cloud, waiting_since=None).exclude(state=State.DELETED).order_by()
    for (
        pk,
        state,
        desired,
        phase,
        generation,
        seen,
        apps,
        reference,
        missing,
        environment,
        since,
        at,
        withheld,
    ) in wanted.values_list(*COLUMNS).iterator(chunk_size=2000):
        known = Known(
            key=pk.hex,
            state=_STATES[state],
            desired=_DESIRED[desired],
            phase=_PHASES[phase],
            generation=generation,
            seen_generation=seen,
            apps=tuple(apps),
            reference=reference,
            missing=missing is not None,
            fresh=state in ON_THE_WAY and since > settled,
        )
        found[known.key] = Row(pk, known, environment, since, at, bool(withheld))
    return found


_STATES = {member.value: member for member in State}
_DESIRED = {member.value: member for member in Desired}
_PHASES = {member.value: member for member in Phase}


def write(rows: Mapping[str, Row], sifted: Sifted, apps: Mapping[int, frozenset[str]], *, began: datetime) -> set[UUID]:
    """Act upon a list that was asked for at `began`; the instances that a worker is to look at."""
    current = {key: row for key, row in rows.items() if not row.changed_since(began)}
    missing = {current[key].pk for key in sifted.missing if key in current}
    _back(current[key].pk for key in sifted.back if key in current)
    _missing(missing)
    waking: set[UUID] = set()
    if sifted.doubt:
        unknown([row for key, row in current.items() if row.known.expected and key in sifted.absent], DOUBTED)
    else:
        going = (row for key, row in current.items() if key in sifted.absent and row.known.state is State.DELETING)
        waking = missing | {row.pk for row in going}
    moved = {key: observed for key, observed in sifted.moved.items() if key in current}
    waking |= _moved({key: current[key] for key in moved}, moved, apps)
    wake_many(waking)
    return waking


def silent(rows: Iterable[Row], message: str = SILENT) -> None:
    """The cloud does not answer: what may run there is shown as unknown, with all that was last known of it."""
    unknown([row for row in rows if row.known.state in AT_WORK], message)


def unknown(rows: Iterable[Row], message: str) -> None:
    groups: dict[tuple[State, Desired], list[UUID]] = defaultdict(list)
    for row in rows:
        if row.known.state is not State.UNKNOWN and State.UNKNOWN in TRANSITIONS[row.known.state]:
            groups[row.known.state, row.known.desired].append(row.pk)
    for (state, desired), keys in groups.items():
        for some in _chunks(keys):
            transitions.advance_many(some, before=state, desired=desired, to=State.UNKNOWN, reason=message)


def _moved(rows: Mapping[str, Row], moved: Mapping[str, Observed], apps: Mapping[int, frozenset[str]]) -> set[UUID]:
    """Write down what needs no doing, alike ones together; returns those that need a worker."""
    waking: set[UUID] = set()
    groups: dict[tuple[Any, ...], list[UUID]] = defaultdict(list)
    for key, observed in moved.items():
        row = rows[key]
        known = row.known
        wish = Wish(
            known.desired, known.generation, known.state, known.seen_generation, apps[row.environment], known.phase
        )
        step = plan(wish, observed, waited=timedelta())
        in_bulk = step.act is Act.NOTHING and step.settle is None and step.state in IN_BULK and not row.withheld
        if not in_bulk or not believes(wish, observed):
            waking.add(row.pk)
            continue
        seen = max(observed.generation, known.seen_generation)
        facts = (observed.phase, seen, tuple(sorted(observed.apps)))
        groups[(known.state, known.desired, step.state, step.message, *facts)].append(row.pk)
        if observed.reference and observed.reference != known.reference:
            waking.add(row.pk)  # which of several it is, a worker writes down
    for (before, desired, to, message, phase, seen, ready), keys in groups.items():
        facts_of = {"phase": phase, "observed_generation": seen, "apps_ready": list(ready), "absences": 0}
        for some in _chunks(keys):
            _write(some, before, desired, to, message, facts_of)
    return waking


def _write(keys: list[UUID], before: State, desired: Desired, to: State, message: str, facts: dict[str, Any]) -> None:
    now = timezone.now()
    if before is to:
        free = Instance.objects.filter(Q(lease=None) | Q(lease_until__lt=now), pk__in=keys, state=before)
        free.update(**facts, observed_at=now)
        return
    transitions.advance_many(
        keys,
        before=before,
        desired=desired,
        to=to,
        reason=message or to.label,
        ready=to is State.READY,
        **facts,
        observed_at=now,
        failures=0,
    )


def _missing(keys: Iterable[UUID]) -> None:
    """The worker who is woken asks for it by name; the list and that answer must agree for a while."""
    for some in _chunks(list(keys)):
        Instance.objects.filter(pk__in=some, missing_since=None).update(missing_since=timezone.now(), absences=0)


def _back(keys: Iterable[UUID]) -> None:
    for some in _chunks(list(keys)):
        Instance.objects.filter(pk__in=some).update(missing_since=None, absences=0)


def _chunks(keys: list[UUID]) -> Iterable[list[UUID]]:
    return batched(keys, CHUNK)
