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
    where: str
    values: dict[str, Any]
    """Optional ones that are empty are not in it."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def read(file: Path, required: Columns, optional: Columns, problems: list[str]) -> Iterator[Row]:
    """The good rows of `file`; what is wrong with the others, or with all of it, is added to `problems`."""
    try:
        records = list(_json(file) if file.suffix == ".json" else _csv(file, required))
    except (ValueError, csv.Error, OSError) as error:
        problems.append(f"{file.name}: cannot be read: {error}")
        return
    for where, record in records:
        if isinstance(record, str):
            problems.append(f"{where}: {record}")
        elif row := _row(file.stem, where, record, required, optional, problems):
            yield row


def _row(
    table: str, where: str, record: dict[str, str], required: Columns, optional: Columns, problems: list[str]
) -> Row | None:
    before, values = len(problems), {}
    for column in sorted(record.keys() - required.keys() - optional.keys()):
        problems.append(f"{where}: there is no column {column!r} in {table}")
    for column, parse in {**required, **optional}.items():
        value = record.get(column, "").strip()
        if not value:
            if column in required:
                problems.append(f"{where}: {column} is missing")
            continue
        try:
            values[column] = parse(value)
        except ValueError as error:
            problems.append(f"{where}: {column} {error}")
    return Row(where, values) if len(problems) == before else None


def _csv(file: Path, required: Columns) -> Iterator[tuple[str, dict[str, str] | str]]:
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
