"""ICAT+, the catalogue of the ESRF and others: an investigation is one session of a proposal on an instrument.

Sessions of one proposal share its name. Whoever takes part is known to ICAT by a user name; who that is to the portal
comes from a table of the facility's, from an identifier that ICAT holds, or from user names that are made of the
identity provider's subject. Names and e-mail addresses prove nothing and are never asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from auth.access import Role
from auth.data import Part

from . import cells, config, wire
from .assembly import Assembly, bare_doi, opening
from .base import Catalogue, CatalogueError, CatalogueUnavailable, Experiment, PersonKey
from .config import Rules, fold
from .identities import Identities, identities
from .wire import Account, Patience, Row, Wire

LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Config:
    rules: Rules
    plugin: str
    """By which ICAT authenticates the portal's account, such as `db`."""
    parts: Mapping[str, Part | None]
    """Roles are free text in ICAT; folded."""
    identities: Identities
    instrument_scientists: bool


def load(file: Path) -> Config:
    """CatalogueError with every mistake."""
    document = config.load(file)
    found = Config(
        rules=config.rules(document),
        plugin=document.take("plugin", config.of(cells.text(50))),
        parts=document.take("parts", config.parts),
        identities=identities(document.part("people"), file.parent),
        instrument_scientists=document.take("instrument_scientists", config.flag, False),
    )
    document.close()
    if document.problems:
        raise CatalogueError(document.problems)
    return found


@dataclass
class Icat:
    config: Config
    account: Account
    patience: Patience = field(default_factory=Patience)
    name: str = "icat"
    notes: list[str] = field(default_factory=list, init=False)
    """What was left out of the last catalogue read."""

    def read(self) -> Catalogue:
        self.notes = []
        assembly = Assembly(self.config.rules)
        with Wire(self.config.rules.url, self.patience) as http:
            session = _Session(http, self.config.plugin, self.account)
            try:
                for row in self._investigations(session):
                    self._investigation(row, assembly)
                if self.config.instrument_scientists:
                    self._instrument_scientists(session, assembly)
            finally:
                session.end()
        catalogue = assembly.catalogue()
        self.notes = assembly.report()
        return catalogue

    def _investigations(self, session: "_Session") -> Iterator[Row]:
        def fetch(skip: int) -> tuple[list[Row], int]:
            what = f"investigations from {skip}"
            params = {"limit": str(self.config.rules.page_size), "skip": str(skip)}
            page = wire.listed(session.get("investigation", what, params), what)
            return page, _total(page, what)

        return wire.rows(fetch, _id, "investigations")

    def _investigation(self, row: Row, assembly: Assembly) -> None:
        where = f"investigation {_id(row)}"
        name = row.get("name")
        if not isinstance(name, str) or not name.strip():
            assembly.problem(f"{where}: name is missing")
            return
        start = assembly.moment(where, "startDate", row.get("startDate"))
        end = assembly.moment(where, "endDate", row.get("endDate"))
        released = assembly.moment(where, "releaseDate", row.get("releaseDate"))
        if (code := assembly.code("proposal", name.strip())) is None:
            return
        assembly.proposal(
            code,
            title=row.get("title") or "",
            abstract=row.get("summary") or "",
            released=opening(released),
            doi=bare_doi(row.get("doi")),
            rank=(start or LAST, _id(row)),
        )
        instrument = self._instrument(row, assembly)
        if start is None or end is None or instrument is None:
            assembly.leave_out(f"{name} ({_id(row)})", "investigations without dates or instrument")
            return
        key = str(_id(row))
        if assembly.experiment(Experiment(key, code, instrument, row.get("title") or "", start, end)):
            self._participants(key, row.get("investigationUsers"), assembly)

    def _instrument(self, row: Row, assembly: Assembly) -> str | None:
        said = row.get("instrument")
        name = said.get("name") if isinstance(said, dict) else None
        return assembly.instrument(name.strip()) if isinstance(name, str) and name.strip() else None

    def _participants(self, key: str, said: Any, assembly: Assembly) -> None:
        if not isinstance(said, list | None):
            assembly.problem(f"investigation {key}: investigationUsers must be a list")
            return
        for number, entry in enumerate(said or [], 1):
            role, user = (entry.get("role"), _user(entry)) if isinstance(entry, dict) else (None, None)
            if not isinstance(role, str) or user is None:
                assembly.problem(f"investigation {key}: user {number} lacks a role or a name")
                continue
            if (folded := fold(role)) not in self.config.parts:
                assembly.leave_out(repr(role), "roles that the configuration does not name")
            elif (part := self.config.parts[folded]) and (person := self._person(user, assembly)):
                assembly.participation(key, person, part)

    def _instrument_scientists(self, session: "_Session", assembly: Assembly) -> None:
        what = "instrument scientists"
        for number, row in enumerate(wire.listed(session.get("instrumentscientist", what, {}), what), 1):
            user = _user(row)
            if user is None or (instrument := self._instrument(row, assembly)) is None:
                assembly.problem(f"instrument scientist {number}: lacks a user or an instrument")
            elif person := self._person(user, assembly):
                assembly.role(person, Role.INSTRUMENT_SCIENTIST, instrument, "instrument scientist in ICAT")

    def _person(self, user: Row, assembly: Assembly) -> PersonKey | None:
        if (key := self.config.identities.of(user)) is None:
            assembly.leave_out(user["name"], "people whose identity is not known")
            return None
        # `affilation` is how ICAT+ spells it.
        affiliation = user.get("affiliation") or user.get("affilation")
        return assembly.person(
            key, user["name"], name=user.get("fullName"), email=user.get("email"), affiliation=affiliation
        )


class _Session:
    """Signed in at ICAT+. The session's id is part of addresses: that is the protocol's choice."""

    def __init__(self, http: Wire, plugin: str, account: Account) -> None:
        self._http = http
        self._credentials = {"plugin": plugin, "username": account.username, "password": account.password}
        self._id = ""

    def get(self, path: str, what: str, params: dict[str, str]) -> Any:
        """Signs in again, once, when the session has run out in the meantime."""
        fresh = not self._id
        if fresh:
            self._begin()
        try:
            return self._get(path, what, params)
        except wire.Refused:
            if fresh:
                raise
        self._begin()
        return self._get(path, what, params)

    def end(self) -> None:
        if self._id:
            self._http.tell("DELETE", f"session/{quote(self._id, safe='')}")

    def _get(self, path: str, what: str, params: dict[str, str]) -> Any:
        return self._http.ask("GET", f"catalogue/{quote(self._id, safe='')}/{path}", what=what, params=params)

    def _begin(self) -> None:
        said = self._http.ask("POST", "session", what="signing in", body=self._credentials)
        found = said.get("sessionId") if isinstance(said, dict) else None
        if not isinstance(found, str) or found.strip(".") == "":
            raise CatalogueUnavailable("signing in: the answer holds no session")
        self._id = found


def _id(row: Row) -> int:
    if (found := _whole(row.get("id"))) is None:
        raise CatalogueError(["investigations: one has no number as its id"])
    return found


def _total(page: list[Row], what: str) -> int:
    """Each row carries the page's figures; an empty page has nothing to carry them."""
    totals: set[int | None] = set()
    for row in page:
        meta = row.get("meta")
        figures = meta.get("page") if isinstance(meta, dict) else None
        totals.add(_whole(figures.get("total")) if isinstance(figures, dict) else None)
    if not totals:
        return 0
    total = totals.pop()
    if totals or total is None:
        raise CatalogueUnavailable(f"{what}: the answer does not say how many there are")
    return total


def _whole(value: Any) -> int | None:
    """ICAT+ declares its numbers as any number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value < 2**63 and value == value // 1 else None


def _user(row: Row) -> Row | None:
    said = row.get("user")
    named = isinstance(said, dict) and isinstance(said.get("name"), str) and said["name"].strip()
    return said if named else None
