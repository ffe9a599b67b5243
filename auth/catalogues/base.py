"""What every facility catalogue yields, whatever it is made of: complete, checked, and without database ids. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from auth.access import Role
from auth.data import Part

DEFAULT_FOLDER = "visitor/{proposal}/{instrument}/{date}"


class CatalogueError(Exception):
    """The catalogue cannot be believed. `problems`: a line each, saying where and what; nothing was changed."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class OutOfScope(CatalogueError):
    """What was read about some proposals says something about others too: only all of it can be believed."""


class CatalogueUnavailable(Exception):
    """It did not answer. That says nothing about what is in it."""


@dataclass(frozen=True, slots=True, order=True)
class PersonKey:
    iss: str
    sub: str


@dataclass(frozen=True, slots=True)
class Instrument:
    code: str
    name: str
    folder: str = DEFAULT_FOLDER
    """Under the data root, with `{proposal}`, `{instrument}` and `{date}` (of the start, UTC)."""


@dataclass(frozen=True, slots=True)
class Person:
    key: PersonKey
    name: str
    email: str = ""
    affiliation: str = ""
    username: str = ""
    """A wish, heard when the person is first seen; afterwards the portal keeps the one it gave."""
    uid: int | None = None
    """Unix uid, as the facility says; like the user name heard only when the person is first seen."""


@dataclass(frozen=True, slots=True)
class Proposal:
    code: str
    title: str
    abstract: str = ""
    proprietary: bool = False
    released: date | None = None
    """From this day the data is public, if there is a DOI; None: never."""
    doi: str = ""
    gid: int | None = None
    """Unix group of its data, as the facility says; heard only when the proposal is first seen."""


@dataclass(frozen=True, slots=True)
class Experiment:
    key: str
    proposal: str
    instrument: str
    title: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Participation:
    experiment: str
    person: PersonKey
    part: Part


@dataclass(frozen=True, slots=True)
class RoleGrant:
    person: PersonKey
    role: Role
    because: str
    instrument: str = ""
    since: datetime | None = None
    """None: from when the portal first heard of it."""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it at one moment, or all about some proposals. Whatever is missing here is gone there.

    A participation may name an experiment that is another catalogue's: each speaks for itself about people.
    """

    instruments: tuple[Instrument, ...]
    people: tuple[Person, ...]
    proposals: tuple[Proposal, ...]
    experiments: tuple[Experiment, ...]
    participations: tuple[Participation, ...]
    roles: tuple[RoleGrant, ...]


Cursor = dict[str, Any]
"""Where news go on, in a source's own words; plain JSON. Empty: only a whole read can tell what is new."""


@dataclass(frozen=True, slots=True)
class News:
    """What a source says about `proposals`, completely; of all others it says nothing."""

    catalogue: Catalogue
    proposals: frozenset[str]
    cursor: Cursor
    whole_roles: bool = False
    """Whether roles that are missing are gone."""


class Known(Protocol):
    """What the portal has already from this source."""

    def experiments(self, proposals: Collection[str]) -> list[str]:
        """Keys of all experiments of these proposals."""

    def between(self, start: datetime, end: datetime) -> set[str]:
        """Proposals with an experiment that overlaps this time."""


class Source(Protocol):
    name: str
    """Its rows are those of `catalogue:<name>`."""
    notes: list[str]
    """What was left out of the last read."""
    cursor: Cursor
    """After `read`: where `news` goes on."""

    def read(self) -> Catalogue:
        """CatalogueError when it is wrong, CatalogueUnavailable when there is no answer; never a part of it."""

    def news(self, cursor: Cursor, known: Known) -> News | None:
        """What changed since `cursor`; None when only a whole read can tell. Errors as of `read`."""
