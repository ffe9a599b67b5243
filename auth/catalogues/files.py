"""A facility's catalogue as a folder of six tables, each `<name>.csv` (UTF-8, with a header) or `<name>.json`.

Strict, and all or nothing: every problem is collected with its file and line, and with one problem nothing is read.
A missing file is a problem too: an empty table says "none", a missing one says nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from auth.access import Role
from auth.data import Part

from . import cells, tables
from .base import (
    DEFAULT_FOLDER,
    Catalogue,
    CatalogueError,
    CatalogueUnavailable,
    Cursor,
    Experiment,
    Instrument,
    Known,
    News,
    Participation,
    Person,
    PersonKey,
    Proposal,
    RoleGrant,
)
from .fingerprints import changed, fingerprints, narrowed
from .identities import canonical
from .tables import Row

REQUIRED: dict[str, dict[str, cells.Cell]] = {
    "instruments": {"code": cells.code, "name": cells.text(200)},
    "people": {"person": cells.text(100), "iss": cells.issuer, "sub": cells.text(255), "name": cells.text(200)},
    "proposals": {"code": cells.code, "title": cells.text(300)},
    "experiments": {
        "key": cells.text(100),
        "proposal": cells.code,
        "instrument": cells.code,
        "title": cells.text(300),
        "start": cells.moment,
        "end": cells.moment,
    },
    # By far the longest table: whatever its names are, they must be in the tables where they were checked.
    "participations": {"experiment": str, "person": str, "part": cells.part},
    "roles": {"person": cells.text(100), "role": cells.role, "because": cells.text(200)},
}
OPTIONAL: dict[str, dict[str, cells.Cell]] = {
    "instruments": {"folder": cells.folder},
    "people": {
        "username": cells.username,
        "email": cells.email,
        "affiliation": cells.text(200),
        "uid": cells.unix_id,
    },
    "proposals": {
        "abstract": cells.text(20_000, lines=True),
        "proprietary": cells.yes_no,
        "released": cells.day,
        "doi": cells.doi,
        "gid": cells.unix_id,
    },
    "roles": {"instrument": cells.code, "since": cells.moment, "until": cells.moment},
}
MOST_PROBLEMS = 1000


@dataclass
class Files:
    """The catalogue in `folder`. `person` in people.csv is a name by which the other tables call somebody."""

    folder: Path
    name: str = "files"
    problems: list[str] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)
    cursor: Cursor = field(default_factory=dict, init=False)

    def read(self) -> Catalogue:
        before = self._digests()
        catalogue = _Reading(self.folder).catalogue()
        if self._digests() != before:
            raise CatalogueUnavailable("the tables changed while they were read")
        self.cursor = {"tables": before, "proposals": fingerprints(catalogue)}
        return catalogue

    def news(self, cursor: Cursor, known: Known) -> News | None:
        """Nothing while no table's content changed; else all are read, and what differs since then is said."""
        if not isinstance(before := cursor.get("proposals"), dict):
            return None
        if self._digests() == cursor.get("tables"):
            return News(Catalogue((), (), (), (), (), ()), frozenset(), cursor)
        catalogue = self.read()
        codes, rest = changed(before, self.cursor["proposals"])
        return News(narrowed(catalogue, codes, rest=rest), codes, self.cursor, whole_roles=rest)

    def _digests(self) -> dict[str, str]:
        found = {}
        for name in REQUIRED:
            for file in _tables(self.folder, name):
                try:
                    found[file.name] = sha256(file.read_bytes()).hexdigest()
                except OSError as error:
                    raise CatalogueUnavailable(f"{file.name}: cannot be read: {error.strerror}") from None
        return found


class _Reading:
    """One pass over the tables. Rows become what they say at once; of the rest only the lines are remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.people: dict[str, tuple[str, PersonKey]] = {}
        self.codes: dict[str, set[str]] = {"instrument": set(), "proposal": set()}
        self.keys: dict[str, str] = {}

    def catalogue(self) -> Catalogue:
        instruments = tuple(self._instruments())
        people = tuple(self._people())
        proposals = tuple(self._proposals())
        experiments = tuple(self._experiments())
        participations = tuple(self._participations())
        roles = tuple(self._roles())
        if self.problems:
            more = len(self.problems) - MOST_PROBLEMS
            raise CatalogueError(self.problems[:MOST_PROBLEMS] + ([f"… and {more} more"] if more > 0 else []))
        return Catalogue(instruments, people, proposals, experiments, participations, roles)

    def _instruments(self) -> Iterator[Instrument]:
        for row in self._unique("instruments", ("code",)):
            self.codes["instrument"].add(row["code"])
            yield Instrument(**{"folder": DEFAULT_FOLDER} | row.values)

    def _people(self) -> Iterator[Person]:
        identities: dict[PersonKey, int] = {}
        for row in self._unique("people", ("person",)):
            key = canonical(PersonKey(row["iss"], row["sub"]))
            if (first := identities.setdefault(key, row.number)) != row.number:
                self.problems.append(f"{row.where}: the same iss and sub as at {row.place}{first}")
            self.people[row["person"]] = row["person"], key
            yield Person(key, **_without(row, "person", "iss", "sub"))

    def _proposals(self) -> Iterator[Proposal]:
        for row in self._unique("proposals", ("code",)):
            self.codes["proposal"].add(row["code"])
            if row.values.get("proprietary") and "released" in row.values:
                self.problems.append(f"{row.where}: released is set, but proprietary data is never released")
            yield Proposal(**row.values)

    def _experiments(self) -> Iterator[Experiment]:
        for row in self._unique("experiments", ("key",)):
            self.keys[row["key"]] = row["key"]
            for column in ("proposal", "instrument"):
                self._refers(row, column, self.codes[column])
            if row["start"] >= row["end"]:
                self.problems.append(f"{row.where}: end is not after start")
            yield Experiment(**row.values)

    def _participations(self) -> Iterator[Participation]:
        seen: dict[tuple[str, str, Part], int] = {}
        for row in self._table("participations"):
            experiment, person = self.keys.get(row["experiment"]), self.people.get(row["person"])
            if experiment is None or person is None:
                self._refers(row, "experiment", self.keys)
                self._refers(row, "person", self.people)
                continue
            # The very strings of the other tables: this one repeats each of them many times.
            key = experiment, person[0], row["part"]
            if (first := seen.setdefault(key, row.number)) != row.number:
                self.problems.append(f"{row.where}: the same experiment, person and part as at {row.place}{first}")
            yield Participation(experiment, person[1], row["part"])

    def _roles(self) -> Iterator[RoleGrant]:
        for row in self._unique("roles", ("person", "role", "instrument")):
            if (row["role"] is Role.INSTRUMENT_SCIENTIST) != ("instrument" in row.values):
                self.problems.append(f"{row.where}: instrument belongs to instrument scientists, and to nobody else")
            self._refers(row, "instrument", self.codes["instrument"])
            if self._refers(row, "person", self.people):
                yield RoleGrant(self.people[row["person"]][1], **_without(row, "person"))

    def _unique(self, table: str, columns: tuple[str, ...]) -> Iterator[Row]:
        """All rows of `table`; one that says again what an earlier one did is a problem."""
        seen: dict[Any, int] = {}
        for row in self._table(table):
            key = tuple([row.values.get(column) for column in columns])
            if (first := seen.setdefault(key, row.number)) != row.number:
                self.problems.append(f"{row.where}: the same {' and '.join(columns)} as at {row.place}{first}")
            yield row

    def _refers(self, row: Row, column: str, known: Any) -> bool:
        value = row.values.get(column)
        if value is None or value in known:
            return True
        self.problems.append(f"{row.where}: {column} {value!r} is in no other table")
        return False

    def _table(self, name: str) -> Iterator[Row]:
        found = _tables(self.folder, name)
        if len(found) != 1:
            what = "is there twice, as .csv and as .json" if found else "is missing"
            self.problems.append(f"{name}.csv: the table {what}")
            return
        yield from tables.read(found[0], REQUIRED[name], OPTIONAL.get(name, {}), self.problems)


def _tables(folder: Path, name: str) -> list[Path]:
    return [file for ending in ("csv", "json") if (file := folder / f"{name}.{ending}").exists()]


def _without(row: Row, *columns: str) -> dict[str, Any]:
    return {name: value for name, value in row.values.items() if name not in columns}
