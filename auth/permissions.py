"""What a facility changes in the table of data permissions: a JSON file, checked before anything starts.

VISA_PERMISSIONS names it. Nothing in it can make raw data writable or open what is under embargo: there are no words
for that, and what sounds like it is refused. It is read once; a change takes effect when the processes start again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from auth.data import STANDARD, STANDARD_TABLE, Kind, Layout, Mode, Part, Row, Table

LONGEST = 36_500
"""Days; a hundred years."""
OWN = "standard"
"""What the portal's own layout is called."""
_NOT_OPENED = "is not for a facility to decide here: data opens on its release date, with a DOI, and not before"


class BadPermissions(ImproperlyConfigured):
    """`problems` holds a sentence for each, beginning with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["VISA_PERMISSIONS cannot be used, and nothing starts without it:", *problems]))
        self.problems = problems


def table() -> Table:
    """The facility's table. BadPermissions when its configuration makes no sense."""
    return _kept(settings.PERMISSIONS)


def name() -> str:
    """What the reasons call the configuration; empty where there is none."""
    return Path(settings.PERMISSIONS).name if settings.PERMISSIONS else ""


def check(app_configs: object = None, **kwargs: Any) -> list[CheckMessage]:
    """The system check: every problem is an error."""
    try:
        table()
    except BadPermissions as error:
        return [Error(problem, id="visa_auth.E001") for problem in error.problems]
    return []


@cache
def _kept(file: str) -> Table:
    return load(Path(file)) if file else STANDARD_TABLE


def load(file: Path) -> Table:
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(sorted({f"{file.name}: {n!r} is there twice" for n in names if names.count(n) > 1}))
        return dict(pairs)

    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except (OSError, ValueError, RecursionError) as error:
        raise BadPermissions([f"{file.name}: cannot be read: {error}"]) from error
    found, problems = read(document)
    if problems := twice + [f"{file.name}: {problem}" for problem in problems]:
        raise BadPermissions(problems)
    return found


def read(document: Any) -> tuple[Table, list[str]]:
    """The table that `document` makes of the standard one, and every problem with its place; then do not use it."""
    reader = _Reader()
    return reader.table(document), reader.problems


class _Reader:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def wrong(self, place: str, sentence: str) -> None:
        self.problems.append(f"{place}: {sentence}")

    def table(self, document: Any) -> Table:
        known = ("layout", "layouts", "instruments", "parts", "open_data", "instrument_control")
        values = self._object("the file", document, known)
        layouts = self._layouts(values.get("layouts", {}))
        layout = self._layout_named("layout", values.get("layout", OWN), layouts)
        return Table(
            rows=self._rows(values.get("parts", {})),
            open_data=self._choice("open_data", values.get("open_data", "read"), ("read", "none")) == "read",
            layout=layout,
            layouts=self._instruments(values.get("instruments", {}), layouts),
            control_days=self._control(values.get("instrument_control", {})),
        )

    def _rows(self, given: Any) -> Mapping[Part, Row]:
        rows = dict(STANDARD_TABLE.rows)
        for name, cells in self._object("parts", given, tuple(Part), "is no part; there are").items():
            part = Part(name)
            rows[part] = self._row(f"parts.{name}", part, cells)
        return MappingProxyType(rows)

    def _row(self, place: str, part: Part, given: Any) -> Row:
        row = STANDARD_TABLE.rows[part]
        known = ["raw", "processed", "may_grant_others"]
        if part in (Part.PARTICIPANT, Part.LOCAL_CONTACT):
            known += ["days_before", "days_after"]
        values = self._object(place, given, tuple(known))
        changes: dict[str, Any] = {"by_site": True}
        if "raw" in values:
            changes["raw"] = self._raw(f"{place}.raw", values["raw"])
        if "processed" in values:
            mode = self._choice(f"{place}.processed", values["processed"], ("none", *Mode))
            changes["processed"] = None if mode in ("", "none") else Mode(mode)
        for key in ("days_before", "days_after"):
            if key in values:
                changes[key] = self._days(f"{place}.{key}", values[key])
        if "may_grant_others" in values:
            changes["may_grant_others"] = self._flag(f"{place}.may_grant_others", values["may_grant_others"])
        return replace(row, **changes)

    def _raw(self, place: str, value: Any) -> bool:
        if value in (Mode.READ_WRITE, "write"):
            self.wrong(place, "raw data is never writable from an instance; say read or none")
            return False
        return self._choice(place, value, ("read", "none")) == "read"

    def _layouts(self, given: Any) -> dict[str, Layout]:
        found = {OWN: STANDARD}
        kinds = dict(STANDARD)
        for name, folders in self._object("layouts", given).items():
            if name == OWN:
                self.wrong(f"layouts.{name}", "is the portal's own; give yours another name")
                continue
            found[name] = tuple(self._folders(f"layouts.{name}", folders, kinds))
        return found

    def _folders(self, place: str, given: Any, kinds: dict[str, Kind]) -> list[tuple[str, Kind]]:
        folders: list[tuple[str, Kind]] = []
        values = self._object(place, given)
        if not values:
            self.wrong(place, "needs at least one folder")
        for name, kind in values.items():
            here = f"{place}.{name}"
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", name):
                self.wrong(here, "a folder has a plain name: letters, digits, hyphens, dots and underscores")
            elif kind not in tuple(Kind):
                self.wrong(here, f"{kind!r} is no kind of folder; there are {', '.join(Kind)}")
            elif kind != Kind.RAW and re.search(r"(^|[^a-z])raw", name.lower()):
                self.wrong(here, "what is called raw is of kind raw: it would become writable")
            elif kinds.setdefault(name, Kind(kind)) != kind:
                self.wrong(here, f"is {kinds[name]} in another layout, and one name means one kind everywhere")
            elif name.lower() in (known.lower() for known, _ in folders):
                self.wrong(here, "is there already, in other letters")
            else:
                folders.append((name, Kind(kind)))
        return folders

    def _instruments(self, given: Any, layouts: dict[str, Layout]) -> Mapping[str, Layout]:
        found = {}
        for code, layout in self._object("instruments", given).items():
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", code):
                self.wrong(f"instruments.{code}", "is no code of an instrument: lower-case letters, digits, hyphens")
            found[code] = self._layout_named(f"instruments.{code}", layout, layouts)
        return MappingProxyType(found)

    def _layout_named(self, place: str, name: Any, layouts: dict[str, Layout]) -> Layout:
        if not isinstance(name, str) or name not in layouts:
            self.wrong(place, f"{name!r} is no layout; there are {', '.join(layouts)}")
            return STANDARD
        return layouts[name]

    def _control(self, given: Any) -> int:
        values = self._object("instrument_control", given, ("days",))
        return self._days("instrument_control.days", values.get("days", STANDARD_TABLE.control_days))

    def _object(
        self, place: str, given: Any, known: tuple[str, ...] = (), other: str = "is not known here; there are"
    ) -> dict[str, Any]:
        """What may be used of it."""
        if not isinstance(given, dict):
            self.wrong(place, "must be an object, in braces")
            return {}
        if not known:
            return given
        for name in given:
            if name not in known:
                opens = re.search(r"embargo|release|proprietary|anyone|public", str(name), re.I)
                self.wrong(f"{place}.{name}", _NOT_OPENED if opens else f"{other} {', '.join(known)}")
        return {name: value for name, value in given.items() if name in known}

    def _choice(self, place: str, value: Any, known: tuple[str, ...]) -> str:
        if not isinstance(value, str) or value not in known:
            self.wrong(place, f"{value!r} is none of {', '.join(known)}")
            return ""
        return value

    def _days(self, place: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LONGEST:
            self.wrong(place, f"must be a number of days from 0 to {LONGEST}")
            return 0
        return value

    def _flag(self, place: str, value: Any) -> bool:
        if not isinstance(value, bool):
            self.wrong(place, "must be true or false")
        return value is True
