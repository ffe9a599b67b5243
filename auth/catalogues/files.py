"""A facility's catalogue as a folder of six tables, each `<name>.csv` (UTF-8, with a header) or `<name>.json`.

Strict, and all or nothing: every problem is collected with its file and line, and with one problem nothing is read.
A missing file is a problem too: an empty table says "none", a missing one says nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth.access import Role

from . import cells, tables
from .base import (
    DEFAULT_FOLDER,
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
    "participations": {"experiment": cells.text(100), "person": cells.text(100), "part": cells.part},
    "roles": {"person": cells.text(100), "role": cells.role, "because": cells.text(200)},
}
OPTIONAL: dict[str, dict[str, cells.Cell]] = {
    "instruments": {"folder": cells.folder},
    "people": {"username": cells.username, "email": cells.email, "affiliation": cells.text(200)},
    "proposals": {
        "abstract": cells.text(20_000, lines=True),
        "proprietary": cells.yes_no,
        "released": cells.day,
        "doi": cells.doi,
    },
    "roles": {"instrument": cells.code, "since": cells.moment, "until": cells.moment},
}


@dataclass
class Files:
    """The catalogue in `folder`. `person` in people.csv is a name by which the other tables call somebody."""

    folder: Path
    name: str = "files"
    problems: list[str] = field(default_factory=list, init=False)

    def read(self) -> Catalogue:
        self.problems = []
        catalogue = self._assemble({name: list(self._table(name)) for name in REQUIRED})
        if self.problems:
            raise CatalogueError(self.problems)
        return catalogue

    def _assemble(self, rows: dict[str, list[Row]]) -> Catalogue:
        people = self._unique(rows["people"], "person")
        self._unique(rows["people"], "iss", "sub")
        instruments = self._unique(rows["instruments"], "code")
        proposals = self._unique(rows["proposals"], "code")
        experiments = self._unique(rows["experiments"], "key")
        self._unique(rows["participations"], "experiment", "person", "part")
        self._unique(rows["roles"], "person", "role", "instrument")
        self._refers(rows["experiments"], "proposal", proposals)
        self._refers(rows["experiments"], "instrument", instruments)
        self._refers(rows["participations"], "experiment", experiments)
        self._refers(rows["participations"], "person", people)
        self._refers(rows["roles"], "person", people)
        self._refers(rows["roles"], "instrument", instruments)
        self._plausible(rows)
        if self.problems:
            return Catalogue((), (), (), (), (), ())
        key = {name[0]: PersonKey(row["iss"], row["sub"]) for name, row in people.items()}
        return Catalogue(
            tuple(Instrument(**{"folder": DEFAULT_FOLDER} | row.values) for row in rows["instruments"]),
            tuple(Person(key[row["person"]], **_without(row, "person", "iss", "sub")) for row in rows["people"]),
            tuple(Proposal(**row.values) for row in rows["proposals"]),
            tuple(Experiment(**row.values) for row in rows["experiments"]),
            tuple(Participation(row["experiment"], key[row["person"]], row["part"]) for row in rows["participations"]),
            tuple(RoleGrant(key[row["person"]], **_without(row, "person")) for row in rows["roles"]),
        )

    def _plausible(self, rows: dict[str, list[Row]]) -> None:
        for row in rows["experiments"]:
            if row["start"] >= row["end"]:
                self.problems.append(f"{row.where}: end is not after start")
        for row in rows["proposals"]:
            if row.values.get("proprietary") and "released" in row.values:
                self.problems.append(f"{row.where}: released is set, but proprietary data is never released")
        for row in rows["roles"]:
            if (row["role"] is Role.INSTRUMENT_SCIENTIST) != ("instrument" in row.values):
                self.problems.append(f"{row.where}: instrument belongs to instrument scientists, and to nobody else")

    def _unique(self, rows: list[Row], *columns: str) -> dict[tuple[Any, ...], Row]:
        seen: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            key = tuple(row.values.get(column) for column in columns)
            if first := seen.get(key):
                self.problems.append(f"{row.where}: the same {' and '.join(columns)} as at {first.where}")
            seen.setdefault(key, row)
        return seen

    def _refers(self, rows: list[Row], column: str, known: dict[tuple[Any, ...], Row]) -> None:
        for row in rows:
            value = row.values.get(column)
            if value is not None and (value,) not in known:
                self.problems.append(f"{row.where}: {column} {value!r} is in no other table")

    def _table(self, name: str) -> Iterator[Row]:
        found = [file for ending in ("csv", "json") if (file := self.folder / f"{name}.{ending}").exists()]
        if len(found) != 1:
            what = "is there twice, as .csv and as .json" if found else "is missing"
            self.problems.append(f"{name}.csv: the table {what}")
            return
        yield from tables.read(found[0], REQUIRED[name], OPTIONAL.get(name, {}), self.problems)


def _without(row: Row, *columns: str) -> dict[str, Any]:
    return {name: value for name, value in row.values.items() if name not in columns}
