"""Which catalogues this facility has: the JSON file VISA_CATALOGUES, checked as a whole before anybody is asked.

    [{"name": "esrf", "kind": "icat", "config": "icat.json", "every": "5m", "full": "24h"}]

Accounts come from the environment and from nowhere else.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from . import config, icat, scicat
from .base import CatalogueError, Source
from .files import Files
from .spool import Spool
from .wire import Account

KINDS = ("files", "icat", "scicat", "useroffice")
PUSHED = ("useroffice",)
"""They send what is new by themselves; nothing is fetched from them."""
EVERY, FULL = timedelta(minutes=5), timedelta(hours=24)
SHORTEST, LONGEST = timedelta(seconds=10), timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Configured:
    name: str
    kind: str
    where: Path
    """The folder of `files`, the configuration file of the others."""
    every: timedelta = EVERY
    full: timedelta = FULL

    @property
    def pushed(self) -> bool:
        return self.kind in PUSHED

    def source(self) -> Source:
        """CatalogueError when its own configuration is wrong, or the account is missing."""
        match self.kind:
            case "files":
                return Files(self.where, name=self.name)
            case "icat":
                return icat.Icat(icat.load(self.where), account(self.name), name=self.name, spool=Spool(self.name))
            case "scicat":
                return scicat.Scicat(
                    scicat.load(self.where), account(self.name), name=self.name, spool=Spool(self.name)
                )
        raise CatalogueError([f"{self.name}: {self.kind} sends what is new by itself; there is nothing to fetch"])


def configured() -> dict[str, Configured]:
    """By name, in the order of the file; none without one. CatalogueError with every mistake."""
    return read(Path(settings.CATALOGUES)) if settings.CATALOGUES else {}


def read(file: Path) -> dict[str, Configured]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogueError([f"{file.name}: cannot be read: {error}"]) from error
    if not isinstance(entries, list):
        raise CatalogueError([f"{file.name}: must be a list of catalogues"])
    problems: list[str] = []
    found = [_entry(file, number, entry, problems) for number, entry in enumerate(entries, 1)]
    names = Counter(entry.name for entry in found if entry)
    problems += [
        f"{file.name}: {number} catalogues are called {name!r}" for name, number in names.items() if number > 1
    ]
    if problems:
        raise CatalogueError(problems)
    return {entry.name: entry for entry in found if entry}


def account(name: str) -> Account:
    """The portal's own at that service; CatalogueError naming the variables when there is none."""
    prefix = f"VISA_CATALOGUE_{name.upper().replace('-', '_')}"
    given = settings.CATALOGUE_ACCOUNTS
    username, password = given.get(f"{prefix}_USERNAME", ""), given.get(f"{prefix}_PASSWORD", "")
    if not (username and password):
        raise CatalogueError([f"{prefix}_USERNAME and {prefix}_PASSWORD must be in the environment"])
    return Account(username, password)


def _entry(file: Path, number: int, entry: Any, problems: list[str]) -> Configured | None:
    where = f"{file.name}: catalogue {number}"
    if not isinstance(entry, dict):
        problems.append(f"{where}: must be an object")
        return None
    before = len(problems)
    if isinstance(entry.get("name"), str):
        where += f" ({entry['name'][:40]})"
    document = config.Document(where, dict(entry), problems)
    name, kind = document.take("name", config.of(_name)), document.take("kind", _kind)
    path = document.take("folder" if kind == "files" else "config", config.of(str), *([] if kind else [""]))
    every = full = None
    if kind not in PUSHED:
        every, full = document.take("every", duration, EVERY), document.take("full", duration, FULL)
        if every and full and full < every:
            problems.append(f"{where}: full must not be shorter than every")
    if kind:  # without it, nobody knows what belongs here
        document.close()
    if len(problems) != before:
        return None
    found = Configured(name, kind, file.parent / path, every or EVERY, full or FULL)
    _own(found, where, problems)
    return found


def _own(found: Configured, where: str, problems: list[str]) -> None:
    """What the catalogue's own configuration file says."""
    if found.kind == "files":
        if not found.where.is_dir():
            problems.append(f"{where}: folder {found.where.name!r} is no folder")
    elif found.kind in ("icat", "scicat"):
        try:
            (icat if found.kind == "icat" else scicat).load(found.where)
        except CatalogueError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]


def duration(value: Any) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", value) if isinstance(value, str) else None
    if not found:
        raise ValueError('must be a time such as "30s", "5m", "24h" or "7d"')
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    length = timedelta(**{unit: int(found[1])})
    if not SHORTEST <= length <= LONGEST:
        raise ValueError("must be from 10 seconds to 31 days")
    return length


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
        raise ValueError("must be a lower-case letter, then letters, digits and hyphens, at most 32")
    return value


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}")
    return str(value)
