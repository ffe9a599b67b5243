"""What differs between what the portal knows and what a catalogue says, and whether to believe it. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = Mapping[str, Any]
FEW = 3
"""Removals of one kind from which on their share counts; one or two happen on any day."""
SHARE = 0.25
"""Of all rows of a kind: more than this at once looks like half an answer."""


class MassRemoval(Exception):
    """The catalogue has lost so much at once that it is probably the catalogue that is wrong. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    key: Any
    label: str
    before: Fields | None
    after: Fields | None

    @property
    def verb(self) -> str:
        return "add" if self.before is None else "remove" if self.after is None else "change"

    def __str__(self) -> str:
        line = f"{self.verb} {self.kind} {self.label}"
        if self.before is None or self.after is None:
            return line
        before, after = self.before, self.after
        changed = [f"{name} {before[name]!s} -> {after[name]!s}" for name in after if after[name] != before[name]]
        return f"{line}: {', '.join(changed)}"


@dataclass
class Diff:
    changes: list[Change] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """What is gone from the catalogue but stays, closed, because something of the portal still refers to it."""
    known: Counter[str] = field(default_factory=Counter)
    """Rows of each kind that the portal had before."""
    empty: list[str] = field(default_factory=list)
    """Kinds of which the catalogue now has none at all."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        lines = [str(change) for change in self.changes] + [f"keep {line}" for line in self.kept]
        return "\n".join(lines or ["nothing to change"])

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(f"{change.kind}.{change.verb}" for change in self.changes))

    def of(self, kind: str, *verbs: str) -> Iterator[Change]:
        return (change for change in self.changes if change.kind == kind and change.verb in verbs)

    def compare(
        self, kind: str, have: Mapping[Any, Fields], want: Mapping[Any, Fields], labels: Mapping[Any, str]
    ) -> None:
        """Note what turns `have` into `want`; fields that `want` does not name stay as they are."""
        self.known[kind] = len(have)
        for key in [*want, *(key for key in have if key not in want)]:
            before, after = have.get(key), want.get(key)
            if before is None or after is None or any(before[name] != after[name] for name in after):
                self.changes.append(Change(kind, key, labels.get(key, str(key)), before, after))

    def check(self, kinds: Iterable[str]) -> None:
        """MassRemoval when one of `kinds` loses far more than it would on any ordinary day."""
        for kind in kinds:
            removed, known = sum(1 for _ in self.of(kind, "remove")), self.known[kind]
            nothing_left = kind in self.empty and removed
            if nothing_left or (removed >= FEW and removed > known * SHARE):
                raise MassRemoval(
                    f"{removed} of {known} rows of kind {kind} would go. If that is right, say so with --force."
                )
