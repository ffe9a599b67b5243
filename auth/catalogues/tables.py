"""A CSV or JSON table, read strictly: every problem with its file and line, every value checked by its cell."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cells import Cell

Columns = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Row:
    place: str
    """`people.csv:` or `people.json: item `"""
    number: int
    values: dict[str, Any]
    """Optional ones that are empty are not in it."""

    @property
    def where(self) -> str:
        return f"{self.place}{self.number}"

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


Record = tuple[int, dict[str, str] | str]


def read(file: Path, required: Columns, optional: Columns, problems: list[str]) -> Iterator[Row]:
    """The good rows of `file`, as they are read; what is wrong with others, or all of it, is added to `problems`."""
    json_ = file.suffix == ".json"
    place = f"{file.name}: item " if json_ else f"{file.name}:"
    columns = {**required, **optional}
    try:
        for number, record in _json(file) if json_ else _csv(file, required):
            if isinstance(record, str):
                problems.append(f"{place}{number}: {record}")
            elif (values := _values(file.stem, f"{place}{number}", record, columns, required, problems)) is not None:
                yield Row(place, number, values)
    except (ValueError, csv.Error, OSError) as error:
        problems.append(f"{file.name}: cannot be read: {error}")


def _values(
    table: str, where: str, record: dict[str, str], columns: Columns, required: Columns, problems: list[str]
) -> dict[str, Any] | None:
    before, values = len(problems), {}
    if not record.keys() <= columns.keys():
        for column in sorted(record.keys() - columns.keys()):
            problems.append(f"{where}: there is no column {column!r} in {table}")
    for column, parse in columns.items():
        value = record.get(column, "").strip()
        if not value:
            if column in required:
                problems.append(f"{where}: {column} is missing")
            continue
        try:
            values[column] = parse(value)
        except ValueError as error:
            problems.append(f"{where}: {column} {error}")
    return values if len(problems) == before else None


def _csv(file: Path, required: Columns) -> Iterator[Record]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        if len(set(header)) != len(header):
            raise ValueError("the header names a column twice")
        if missing := required.keys() - header:
            raise ValueError(f"the header lacks {', '.join(sorted(missing))}")
        line = reader.line_num + 1
        for cells_ in reader:
            if any(cells_):
                if len(cells_) == len(header):
                    yield line, dict(zip(header, cells_, strict=True))
                else:
                    yield line, f"has {len(cells_)} cells, but the header has {len(header)}"
            line = reader.line_num + 1


def _json(file: Path) -> Iterator[Record]:
    entries = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(entries, list):
        raise ValueError("must be a list of objects")
    for number, entry in enumerate(entries, 1):
        yield number, _texts(entry)


def _texts(entry: Any) -> dict[str, str] | str:
    if not isinstance(entry, dict):
        return "must be an object"
    said = {True: "yes", False: "no", None: ""}
    wrong = [name for name, value in entry.items() if not isinstance(value, str | bool | None)]
    if wrong:
        return f"{', '.join(wrong)} must be text"
    return {name: value if isinstance(value, str) else said[value] for name, value in entry.items()}
