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


Record = tuple[int, list[str] | str]
"""The number of a line or item, and its cells, or what is wrong with it. The first one is the header."""


def read(file: Path, required: Columns, optional: Columns, problems: list[str]) -> Iterator[Row]:
    """The good rows of `file`, as they are read; what is wrong with others, or all of it, is added to `problems`."""
    columns, is_json = {**required, **optional}, file.suffix == ".json"
    place = f"{file.name}: item " if is_json else f"{file.name}:"
    try:
        records = _json(file, list(columns)) if is_json else _csv(file, required)
        _, header = next(records)
        for name in header:
            if name not in columns:
                problems.append(f"{file.name}: there is no column {name!r} in {file.stem}")
        plan = [
            (column, header.index(column), parse, column in required)
            for column, parse in columns.items()
            if column in header
        ]
        for number, cells in records:
            if isinstance(cells, str):
                problems.append(f"{place}{number}: {cells}")
            elif (values := _values(plan, cells, place, number, problems)) is not None:
                yield Row(place, number, values)
    except (ValueError, csv.Error, OSError) as error:
        problems.append(f"{file.name}: cannot be read: {error}")


def _values(
    plan: list[tuple[str, int, Cell, bool]], cells: list[str], place: str, number: int, problems: list[str]
) -> dict[str, Any] | None:
    values, good = {}, True
    for column, index, parse, required in plan:
        value = cells[index].strip()
        if value:
            try:
                values[column] = parse(value)
            except ValueError as error:
                problems.append(f"{place}{number}: {column} {error}")
                good = False
        elif required:
            problems.append(f"{place}{number}: {column} is missing")
            good = False
    return values if good else None


def _csv(file: Path, required: Columns) -> Iterator[Record]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        if len(set(header)) != len(header):
            raise ValueError("the header names a column twice")
        if missing := required.keys() - header:
            raise ValueError(f"the header lacks {', '.join(sorted(missing))}")
        yield 1, header
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                fits = len(cells) == len(header)
                yield line, cells if fits else f"has {len(cells)} cells, but the header has {len(header)}"
            line = reader.line_num + 1


def _json(file: Path, columns: list[str]) -> Iterator[Record]:
    entries = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(entries, list):
        raise ValueError("must be a list of objects")
    yield 0, columns
    for number, entry in enumerate(entries, 1):
        yield number, _texts(entry, columns)


def _texts(entry: Any, columns: list[str]) -> list[str] | str:
    if not isinstance(entry, dict):
        return "must be an object"
    if unknown := sorted(entry.keys() - set(columns)):
        return f"there is no column {', '.join(unknown)}"
    said = {True: "yes", False: "no", None: ""}
    wrong = [name for name, value in entry.items() if not isinstance(value, str | bool | None)]
    if wrong:
        return f"{', '.join(wrong)} must be text"
    found = (entry.get(name) for name in columns)
    return [value if isinstance(value, str) else said[value] for value in found]
