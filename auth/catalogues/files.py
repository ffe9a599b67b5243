"""A facility's catalogue as a folder of six tables, each `<name>.csv` (UTF-8, with a header) or `<name>.json`.

Strict, and all or nothing: every problem is collected with its file and line, and with one problem nothing is read.
A missing file is a problem too: an empty table says "none", a missing one says nothing.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auth.access import Role

from . import cells
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


@dataclass(frozen=True, slots=True)
class Row:
    where: str
    values: dict[str, Any]
    """Optional ones that are empty are not in it."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass
class Files:
    """The catalogue in `folder`. `person` in people.csv is a name by which the other tables call somebody."""

    folder: Path
    name: str = "files"
    problems: list[str] = field(default_factory=list, init=False)

    def read(self) -> Catalogue:
        self.problems = []
        tables = {name: list(self._table(name)) for name in REQUIRED}
        catalogue = self._assemble(tables)
        if self.problems:
            raise CatalogueError(self.problems)
        return catalogue

    def _assemble(self, tables: dict[str, list[Row]]) -> Catalogue:
        people = self._unique(tables["people"], "person")
        self._unique(tables["people"], "iss", "sub")
        instruments = self._unique(tables["instruments"], "code")
        proposals = self._unique(tables["proposals"], "code")
        experiments = self._unique(tables["experiments"], "key")
        self._unique(tables["participations"], "experiment", "person", "part")
        self._unique(tables["roles"], "person", "role", "instrument")
        self._refers(tables["experiments"], "proposal", proposals)
        self._refers(tables["experiments"], "instrument", instruments)
        self._refers(tables["participations"], "experiment", experiments)
        self._refers(tables["participations"], "person", people)
        self._refers(tables["roles"], "person", people)
        self._refers(tables["roles"], "instrument", instruments)
        self._plausible(tables)
        if self.problems:
            return Catalogue((), (), (), (), (), ())
        key = {name[0]: PersonKey(row["iss"], row["sub"]) for name, row in people.items()}
        return Catalogue(
            tuple(Instrument(**{"folder": DEFAULT_FOLDER} | row.values) for row in tables["instruments"]),
            tuple(Person(key[row["person"]], **_without(row, "person", "iss", "sub")) for row in tables["people"]),
            tuple(Proposal(**row.values) for row in tables["proposals"]),
            tuple(Experiment(**row.values) for row in tables["experiments"]),
            tuple(
                Participation(row["experiment"], key[row["person"]], row["part"]) for row in tables["participations"]
            ),
            tuple(RoleGrant(key[row["person"]], **_without(row, "person")) for row in tables["roles"]),
        )

    def _plausible(self, tables: dict[str, list[Row]]) -> None:
        for row in tables["experiments"]:
            if row["start"] >= row["end"]:
                self.problems.append(f"{row.where}: end is not after start")
        for row in tables["proposals"]:
            if row.values.get("proprietary") and "released" in row.values:
                self.problems.append(f"{row.where}: released is set, but proprietary data is never released")
        for row in tables["roles"]:
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
        try:
            records = list(_json(found[0]) if found[0].suffix == ".json" else _csv(found[0], name))
        except (ValueError, csv.Error, OSError) as error:
            self.problems.append(f"{found[0].name}: cannot be read: {error}")
            return
        for where, record in records:
            if row := self._row(name, where, record):
                yield row

    def _row(self, table: str, where: str, record: dict[str, str] | str) -> Row | None:
        if isinstance(record, str):
            self.problems.append(f"{where}: {record}")
            return None
        required, optional = REQUIRED[table], OPTIONAL.get(table, {})
        before, values = len(self.problems), {}
        for column in sorted(record.keys() - required.keys() - optional.keys()):
            self.problems.append(f"{where}: there is no column {column!r} in {table}")
        for column, parse in (required | optional).items():
            value = record.get(column, "").strip()
            if not value:
                if column in required:
                    self.problems.append(f"{where}: {column} is missing")
                continue
            try:
                values[column] = parse(value)
            except ValueError as error:
                self.problems.append(f"{where}: {column} {error}")
        return Row(where, values) if len(self.problems) == before else None


def _csv(file: Path, table: str) -> Iterator[tuple[str, dict[str, str] | str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        if len(set(header)) != len(header):
            raise ValueError("the header names a column twice")
        if missing := REQUIRED[table].keys() - header:
            raise ValueError(f"the header lacks {', '.join(sorted(missing))}")
        line = reader.line_num + 1
        for cells_ in reader:
            if any(cells_):
                fits = len(cells_) == len(header)
                problem = f"has {len(cells_)} cells, but the header has {len(header)}"
                yield f"{file.name}:{line}", dict(zip(header, cells_, strict=True)) if fits else problem
            line = reader.line_num + 1


def _json(file: Path) -> Iterator[tuple[str, dict[str, str] | str]]:
    entries = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(entries, list):
        raise ValueError("must be a list of objects")
    for number, entry in enumerate(entries, 1):
        yield f"{file.name}: item {number}", _texts(entry)


def _texts(entry: Any) -> dict[str, str] | str:
    if not isinstance(entry, dict):
        return "must be an object"
    said = {True: "yes", False: "no", None: ""}
    wrong = [name for name, value in entry.items() if not isinstance(value, str | bool | None)]
    if wrong:
        return f"{', '.join(wrong)} must be text"
    return {name: value if isinstance(value, str) else said[value] for name, value in entry.items()}


def _without(row: Row, *columns: str) -> dict[str, Any]:
    return {name: value for name, value in row.values.items() if name not in columns}
