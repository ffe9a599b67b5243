"""What differs between what the portal knows and what a catalogue says, and whether to believe it. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FEW = 3
"""Removals of one kind from which on their share counts; one or two happen on any day."""
SHARE = 0.25
"""Of all rows of a kind: more than this at once looks like half an answer."""
MOST_LINES = 10_000
"""Of one kind that are kept for reading; a first load has hundreds of thousands."""


class MassRemoval(Exception):
    """The catalogue has lost so much at once that it is probably the catalogue that is wrong. Nothing was changed."""


@dataclass
class Diff:
    """Numbers of everything, and a line each for people to read: `remove participation Bob (b@x) participant e1`."""

    counts: dict[str, int] = field(default_factory=dict)
    """`kind.verb` → number, only where there is any."""
    lines: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """What is gone from the catalogue but stays, closed, because something else still refers to it."""
    notes: list[str] = field(default_factory=list)
    """What the catalogue says and the portal does not do, such as to change somebody's Unix id."""
    known: Counter[str] = field(default_factory=Counter)
    """Rows of each kind that the portal had from this catalogue before."""
    empty: list[str] = field(default_factory=list)
    """Kinds of which the catalogue now has none at all."""

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        unread = sum(self.counts.values()) - len(self.lines)
        more = [f"… and {unread} more"] if unread > 0 else []
        return "\n".join([*self.lines, *more, *(f"keep {line}" for line in self.kept)] or ["nothing to change"])

    def check(self, kinds: Iterable[str]) -> None:
        """MassRemoval when one of `kinds` loses far more than it would on any ordinary day."""
        for kind in kinds:
            removed, known = self.counts.get(f"{kind}.remove", 0), self.known[kind]
            nothing_left = kind in self.empty and removed
            if nothing_left or (removed >= FEW and removed > known * SHARE):
                raise MassRemoval(
                    f"{removed} of {known} rows of kind {kind} would go. If that is right, say so with --force."
                )
