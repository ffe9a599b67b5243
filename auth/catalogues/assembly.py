"""Putting a Catalogue together from a service's rows, in whatever order they come. Pure.

Three kinds of trouble, told apart: an answer that breaks the service's own contract is a problem, and nothing is
believed; a fact the portal cannot use (an experiment without dates, somebody whose identity is not known) is left out,
which gives nobody anything, and reported; texts for people's eyes are tidied.
"""

import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from auth.access import Role
from auth.data import Part

from . import cells
from .base import (
    Catalogue,
    CatalogueError,
    Experiment,
    Instrument,
    Participation,
    Person,
    PersonKey,
    Proposal,
    RoleGrant,
)
from .config import Rules

MOST_PROBLEMS = 50
EXAMPLES = 5


@dataclass
class Assembly:
    rules: Rules
    problems: list[str] = field(default_factory=list)
    left_out: dict[str, set[str]] = field(default_factory=dict)
    """Reason → what it befell."""
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _instruments: dict[str, Instrument] = field(default_factory=dict)
    _people: dict[PersonKey, tuple[str, Person]] = field(default_factory=dict)
    _proposals: dict[str, tuple[Any, Proposal]] = field(default_factory=dict)
    _experiments: dict[str, Experiment] = field(default_factory=dict)
    _parts: dict[Participation, None] = field(default_factory=dict)
    _roles: dict[Hashable, RoleGrant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, entry in self.rules.instruments.items():
            self._names["instrument", entry.code] = name
            self._instruments[entry.code] = Instrument(entry.code, entry.name, entry.folder)

    def catalogue(self) -> Catalogue:
        if self.problems:
            raise CatalogueError(self.problems)
        return Catalogue(
            tuple(self._instruments.values()),
            tuple(person for _, person in self._people.values()),
            tuple(proposal for _, proposal in self._proposals.values()),
            tuple(self._experiments.values()),
            tuple(self._parts),
            tuple(self._roles.values()),
        )

    def problem(self, text: str) -> None:
        """One kind of mistake may be in every row: the first few say enough."""
        if len(self.problems) >= MOST_PROBLEMS:
            raise CatalogueError([*self.problems, "…"])
        self.problems.append(tidy(text, 500))

    def leave_out(self, what: str, because: str) -> None:
        self.left_out.setdefault(because, set()).add(tidy(what, 100))

    def report(self) -> list[str]:
        lines = []
        for because, things in sorted(self.left_out.items()):
            some = sorted(things)[:EXAMPLES]
            lines.append(
                f"left out {len(things)} {because}: {', '.join(some)}{', …' if len(things) > EXAMPLES else ''}"
            )
        return lines

    def code(self, kind: str, name: str, short: str = "") -> str | None:
        """`short` or `name` as it may stand in a path; None, and left out, if it cannot. No two names share a code."""
        words = re.findall(r"[a-z0-9]+", unicodedata.normalize("NFKC", short or name).lower())
        try:
            code = cells.code(self.rules.separator.join(words))
        except ValueError:
            self.leave_out(repr(name), f"{kind}s whose name cannot be part of a path")
            return None
        if self._names.setdefault((kind, code), name) != name:
            other = self._names[kind, code]
            self.problem(f"{kind} {name!r}: would have the code {code!r}, which is {other!r}'s; they must not share it")
            return None
        return code

    def instrument(self, name: str, short: str = "") -> str | None:
        """The code of the instrument that the service calls `name`, and people `short`."""
        if entry := self.rules.instruments.get(name):
            return entry.code
        if (code := self.code("instrument", name, short)) and code not in self._instruments:
            self._instruments[code] = Instrument(code, tidy(short or name, 200), self.rules.folder)
        return code

    def proposal(
        self,
        code: str,
        *,
        title: str,
        abstract: str,
        released: date | None,
        doi: str,
        rank: tuple[Any, ...],
        gid: int | None = None,
    ) -> None:
        """Seen once or several times, as by sessions of one proposal.

        The title is that of the lowest `rank`. It is public from the last of the days, if there is a day and a DOI
        each time: what one session keeps closed, no other opens.
        """
        proprietary = code.startswith(self.rules.proprietary) if self.rules.proprietary else False
        day = released if doi and not proprietary else None
        new = Proposal(code, tidy(title, 300) or code, tidy(abstract, 20_000, lines=True), proprietary, day, doi, gid)
        if code not in self._proposals:
            self._proposals[code] = rank, new
            return
        before, old = self._proposals[code]
        day = max(old.released, day) if old.released and day else None
        first, chosen = min((before, old), (rank, new), key=lambda ranked: ranked[0])
        self._proposals[code] = (
            first,
            replace(chosen, released=day, doi=chosen.doi or old.doi or new.doi, gid=old.gid or new.gid),
        )

    def experiment(self, experiment: Experiment) -> bool:
        """False, and left out, if it ends before it begins."""
        if experiment.start >= experiment.end:
            self.leave_out(experiment.key, "experiments that end before they begin")
            return False
        if experiment.key in self._experiments:
            self.problem(f"experiment {experiment.key}: is there twice")
            return False
        self._experiments[experiment.key] = replace(
            experiment, title=tidy(experiment.title, 300) or experiment.proposal.upper()
        )
        return True

    def person(
        self,
        key: PersonKey,
        alias: str,
        *,
        name: Any,
        email: Any = "",
        affiliation: Any = "",
        uid: int | None = None,
    ) -> PersonKey:
        """Known to the service as `alias`; of several, the first in the alphabet says how they are called."""
        known = self._people.get(key)
        if known and known[0] <= alias:
            return known[1].key
        person = Person(key, tidy(name, 200) or key.sub, mail(email), tidy(affiliation, 200), uid=uid)
        self._people[key] = alias, person
        return key

    def participation(self, experiment: str, person: PersonKey, part: Part) -> None:
        self._parts[Participation(experiment, person, part)] = None

    def role(self, person: PersonKey, role: Role, instrument: str, because: str) -> None:
        self._roles[person, role, instrument] = RoleGrant(person, role, because, instrument)

    def moment(self, where: str, name: str, value: Any) -> datetime | None:
        """None if there is none; a problem if it is no time, because access depends on it."""
        if value is None or value == "":
            return None
        try:
            return cells.moment(value if isinstance(value, str) else "")
        except (ValueError, OverflowError):
            self.problem(f"{where}: {name} must be a time with its zone")
            return None


def opening(moment: datetime | None) -> date | None:
    """The first UTC day that does not begin before `moment`: never open early."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    if moment.time() == datetime.min.time():
        return moment.date()
    return None if moment.date() == date.max else moment.date() + timedelta(days=1)


def tidy(value: Any, longest: int, *, lines: bool = False) -> str:
    """Text for people's eyes: without control characters, not too long; anything else is no text."""
    if not isinstance(value, str):
        return ""
    kept = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cs") or (lines and c in "\n\t") else " " for c in value
    ).strip()
    if not lines:
        kept = " ".join(kept.split())
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def mail(value: Any) -> str:
    try:
        return cells.email(value) if isinstance(value, str) and value.isprintable() else ""
    except ValueError:
        return ""


def bare_doi(value: Any) -> str:
    """Services give it bare, with `doi:` or as an address; what is none is none."""
    text = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:)", "", value.strip(), flags=re.I) if isinstance(value, str) else ""
    try:
        return cells.doi(text) if text.isprintable() else ""
    except ValueError:
        return ""
