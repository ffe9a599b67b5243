"""What a cloud's list means: who has moved, who is missing, what is too many, and whether to believe it at all. Pure.

One bad list must not cost anybody anything: when too much is missing at once, the list is doubted instead of believed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from instances.providers.base import Found, Observed
from instances.states import Desired, Phase, State

FEW = 3
"""Fewer than these may go missing at once without a doubt: each absence is proven by itself."""
SHARE = 0.2
"""Of what is expected; when more is missing at once, the list is doubted."""


@dataclass(frozen=True, slots=True)
class Known:
    """A row as last written."""

    key: str
    state: State
    desired: Desired
    phase: Phase
    generation: int
    seen_generation: int
    apps: tuple[str, ...]
    reference: str
    missing: bool
    fresh: bool = False
    """Asked for so lately that a list may not have it yet: some clouds list what is new a little later."""

    @property
    def expected(self) -> bool:
        """The cloud should list it: it was seen there for a while, and nobody wants it gone."""
        return self.phase is not Phase.ABSENT and self.desired is not Desired.DELETED and not self.fresh


@dataclass(frozen=True, slots=True)
class Sifted:
    doubt: str = ""
    """Why the list is not believed; empty when it is."""
    moved: Mapping[str, Observed] = field(default_factory=dict)
    """Listed, and not as it was last written."""
    missing: frozenset[str] = frozenset()
    """Expected and not listed, until now listed."""
    absent: frozenset[str] = frozenset()
    """Not listed, for this tick or longer, and not yet settled as gone."""
    back: frozenset[str] = frozenset()
    """Listed again after having been missing."""
    duplicates: tuple[Found, ...] = ()
    """Copies of an instance beside the one that counts."""
    unknown: tuple[Found, ...] = ()
    """Of no row that was given."""


def sift(known: Iterable[Known], listed: Iterable[Found]) -> Sifted:
    """Compare the rows of one cloud with its list."""
    copies: dict[str, list[Found]] = defaultdict(list)
    for found in listed:
        copies[found.id].append(found)
    rows = {row.key: row for row in known}
    chosen = {key: primary(rows[key].reference, some) for key, some in copies.items() if key in rows}
    expected = [row for row in rows.values() if row.expected]
    lacking = [row for row in expected if row.key not in chosen]
    surplus = [one for key, some in copies.items() if key in rows for one in some if one is not chosen[key]]
    return Sifted(
        doubt=doubt_of(len(lacking), len(expected)),
        moved={
            key: found.observed
            for key, found in chosen.items()
            if rows[key].missing or moved(rows[key], found.observed)
        },
        missing=frozenset(row.key for row in lacking if not row.missing),
        absent=frozenset(row.key for row in rows.values() if row.key not in chosen and _unsettled(row)),
        back=frozenset(key for key in chosen if rows[key].missing),
        duplicates=tuple(surplus),
        unknown=tuple(found for key, some in copies.items() if key not in rows for found in some),
    )


def doubt_of(missing: int, expected: int) -> str:
    if missing < FEW or missing < SHARE * expected:
        return ""
    return f"{missing} of {expected} instances are missing from its list at once."


def primary(reference: str, copies: Collection[Found]) -> Found:
    """The copy that counts: the one that is written down, else the oldest."""
    return next(
        (copy for copy in copies if reference and copy.observed.reference == reference),
        min(copies, key=lambda copy: (copy.created or datetime.max.replace(tzinfo=UTC), copy.observed.reference)),
    )


def moved(row: Known, observed: Observed) -> bool:
    return (
        row.state is State.UNKNOWN
        or row.phase is not observed.phase
        or row.apps != tuple(sorted(observed.apps))
        or row.seen_generation < observed.generation
        or (row.desired is Desired.RUNNING and row.generation > observed.generation)
        or (row.state in (State.STOPPED, State.FAILED) and observed.phase in (Phase.STARTING, Phase.RUNNING))
    )


def _unsettled(row: Known) -> bool:
    return row.state in (State.DELETING, State.UNKNOWN) or row.phase is not Phase.ABSENT
