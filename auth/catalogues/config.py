"""How a facility's own words become the portal's: a JSON file, checked before anybody is asked for anything."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from auth.data import Part

from . import cells
from .base import DEFAULT_FOLDER, CatalogueError

Check = Callable[[Any], Any]
_NONE = object()
LARGEST_PAGE = 5000


@dataclass
class Document:
    """A JSON object from which settings are taken one by one; what is wrong, or left over, becomes a problem."""

    where: str
    values: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    def take(self, name: str, check: Check, default: Any = _NONE) -> Any:
        if name not in self.values:
            if default is _NONE:
                self.problems.append(f"{self.where}: {name} is missing")
            return None if default is _NONE else default
        try:
            return check(self.values.pop(name))
        except ValueError as error:
            self.problems.append(f"{self.where}: {name} {error}")
            return None

    def part(self, name: str) -> "Document":
        """The object under `name`; an empty one when there is none."""
        found = self.take(name, thing, {})
        return Document(f"{self.where}: {name}", found if isinstance(found, dict) else {}, self.problems)

    def close(self) -> None:
        self.problems += [f"{self.where}: there is no setting {name!r}" for name in sorted(self.values)]


@dataclass(frozen=True, slots=True)
class Renamed:
    code: str
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What both services need to be told."""

    url: str
    page_size: int
    separator: str
    """Stands for whatever in a proposal's or instrument's name may not be in a path."""
    proprietary: tuple[str, ...]
    """Beginnings of the codes of proposals whose data is never public."""
    folder: str
    instruments: Mapping[str, Renamed]


def load(file: Path) -> Document:
    """CatalogueError when it is no JSON object."""
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogueError([f"{file.name}: cannot be read: {error}"]) from error
    if not isinstance(values, dict):
        raise CatalogueError([f"{file.name}: must be a JSON object"])
    return Document(file.name, values)


@dataclass(frozen=True, slots=True)
class UnixIds:
    """Under which names a service holds a person's uid and a proposal's gid; empty: it does not."""

    uid: str
    gid: str


def unix_ids(document: Document) -> UnixIds:
    found = UnixIds(*(document.take(name, of(cells.text(100)), "") for name in ("uid", "gid")))
    document.close()
    return found


def fingerprint(config: object) -> str:
    """Changes with anything that a configuration says, the tables that it names included."""
    return sha256(repr(config).encode()).hexdigest()


def rules(document: Document) -> Rules:
    folder = document.take("folder", of(cells.folder), DEFAULT_FOLDER)
    return Rules(
        url=document.take("url", service),
        page_size=document.take("page_size", page_size, 500),
        separator=document.take("separator", separator, "-"),
        # No default: forgetting it would open what must stay closed.
        proprietary=document.take("proprietary", beginnings),
        folder=folder,
        instruments=_instruments(document.part("instruments"), folder or DEFAULT_FOLDER),
    )


def _instruments(document: Document, folder: str) -> dict[str, Renamed]:
    found: dict[str, Renamed] = {}
    for name in list(document.values):
        entry = document.part(name)
        code = entry.take("code", of(cells.code))
        title = entry.take("name", of(cells.text(200)), name)
        found[name] = Renamed(code, title, entry.take("folder", of(cells.folder), folder))
        entry.close()
    codes = Counter(entry.code for entry in found.values() if entry.code)
    document.problems += [f"{document.where}: {n} have the code {code!r}" for code, n in codes.items() if n > 1]
    return found


def of(cell: cells.Cell) -> Check:
    """A check for text that is not empty."""

    def check(value: Any) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be text")
        return cell(value.strip())

    return check


def thing(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def page_size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_PAGE:
        raise ValueError(f"must be a number from 1 to {LARGEST_PAGE}")
    return value


def days(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 3650:
        raise ValueError("must be a number of days from 0 to 3650")
    return value


def separator(value: Any) -> str:
    if value not in ("-", ""):
        raise ValueError('must be "-" or ""')
    return str(value)


def beginnings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and re.fullmatch(r"[a-z0-9-]+", v) for v in value):
        raise ValueError('must be a list of beginnings of proposal codes such as "in-"; [] if nothing is proprietary')
    return tuple(value)


def parts(value: Any) -> dict[str, Part | None]:
    """null: known, and gives nothing."""
    if not isinstance(value, dict) or not value:
        raise ValueError("must say which role is which part")
    known = ", ".join(Part)
    if wrong := [role for role, part in value.items() if part is not None and part not in list(Part)]:
        raise ValueError(f"gives {', '.join(wrong)} a part that is none of {known}")
    found = {fold(role): part and Part(part) for role, part in value.items()}
    if len(found) != len(value):
        raise ValueError("names a role twice")
    return found


def fold(role: str) -> str:
    """Roles are typed by people: case and spaces say nothing."""
    return " ".join(role.split()).casefold()


def service(value: Any) -> str:
    """A password travels there: under TLS, or not beyond this machine."""
    parts_ = urlsplit(value if isinstance(value, str) else "")
    local = parts_.scheme == "http" and parts_.hostname in ("localhost", "127.0.0.1", "::1")
    if not (local or (parts_.scheme == "https" and parts_.hostname)):
        raise ValueError("must be an https address, or one on this machine")
    if parts_.username or parts_.password or parts_.query or parts_.fragment:
        raise ValueError("must be a bare address: the account comes from the environment")
    return str(value)
