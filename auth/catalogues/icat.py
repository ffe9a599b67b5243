"""ICAT+, the catalogue of the ESRF and others: an investigation is one session of a proposal on an instrument.

Sessions of one proposal share its name. Whoever takes part is known to ICAT by a user name; who that is to the portal
comes from a table of the facility's, from an identifier that ICAT holds, or from user names that are made of the
identity provider's subject. Names and e-mail addresses prove nothing and are never asked.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from auth.access import Role
from auth.data import Part

from . import cells, config, wire
from .assembly import Assembly, bare_doi, opening
from .base import Catalogue, CatalogueError, CatalogueUnavailable, Cursor, Experiment, Known, News, PersonKey
from .config import Rules, UnixIds, fold
from .identities import Identities, identities
from .spool import Spool
from .wire import Account, Patience, Row, Wire

LAST = datetime.max.replace(tzinfo=UTC)
IDS_AT_ONCE = 200
"""They are part of an address, which services and proxies cut off somewhere after 2,000 characters."""


@dataclass(frozen=True, slots=True)
class Config:
    rules: Rules
    plugin: str
    """By which ICAT authenticates the portal's account, such as `db`."""
    parts: Mapping[str, Part | None]
    """Roles are free text in ICAT; folded."""
    identities: Identities
    instrument_scientists: bool
    days_before: int
    days_after: int
    """Around today: sessions in this time are read again by each incremental run."""
    unix_ids: UnixIds


def load(file: Path) -> Config:
    """CatalogueError with every mistake."""
    document = config.load(file)
    found = Config(
        rules=config.rules(document),
        plugin=document.take("plugin", config.of(cells.text(50))),
        parts=document.take("parts", config.parts),
        identities=identities(document.part("people"), file.parent),
        instrument_scientists=document.take("instrument_scientists", config.flag, False),
        days_before=document.take("days_before", config.days, 14),
        days_after=document.take("days_after", config.days, 30),
        unix_ids=config.unix_ids(document.part("unix_ids")),
    )
    document.close()
    if document.problems:
        raise CatalogueError(document.problems)
    return found


@dataclass
class Icat:
    """Without `spool`, an interrupted read begins anew."""

    config: Config
    account: Account
    patience: Patience = field(default_factory=Patience)
    name: str = "icat"
    spool: Spool | None = None
    notes: list[str] = field(default_factory=list, init=False)
    cursor: Cursor = field(default_factory=dict, init=False)

    def read(self) -> Catalogue:
        self.notes = []
        assembly = Assembly(self.config.rules)
        with self._session() as session:
            for row in self._investigations(session, {}, self.spool):
                self._investigation(row, assembly)
            if self.config.instrument_scientists:
                self._instrument_scientists(session, assembly)
        catalogue = assembly.catalogue()
        if self.spool:
            self.spool.forget()
        self.notes, self.cursor = assembly.report(), {"of": config.fingerprint(self.config)}
        return catalogue

    def news(self, cursor: Cursor, known: Known) -> News | None:
        """ICAT+ does not tell what changed, so sessions around today are read again, each with its whole proposal.

        Of these proposals it asks for the sessions that the portal knows. One that is new and far away, and anything
        else about proposals without a session around today, is left to the next whole read.
        """
        if cursor.get("of") != config.fingerprint(self.config):
            return None
        self.notes = []
        assembly, today = Assembly(self.config.rules), datetime.now(UTC)
        start = today - timedelta(days=self.config.days_before)
        end = today + timedelta(days=self.config.days_after)
        around = {"startDate": f"{start:%Y-%m-%d}", "endDate": f"{end:%Y-%m-%d}"}
        with self._session() as session:
            found = {_id(row): row for row in self._investigations(session, around)}
            names = {code for row in found.values() if (code := self._code(row, assembly))}
            codes = names | known.between(start, end)
            others = [key for key in known.experiments(codes) if key.isdigit() and int(key) not in found]
            for first in range(0, len(others), IDS_AT_ONCE):
                ids = {"ids": ",".join(others[first : first + IDS_AT_ONCE])}
                found |= {_id(row): row for row in self._investigations(session, ids)}
            for row in found.values():
                self._investigation(row, assembly)
            if self.config.instrument_scientists:
                self._instrument_scientists(session, assembly)
        catalogue = assembly.catalogue()
        if {proposal.code for proposal in catalogue.proposals} - codes:
            return None  # a session has moved to a proposal of which the rest is not known
        self.notes = assembly.report()
        return News(catalogue, frozenset(codes), cursor, whole_roles=self.config.instrument_scientists)

    @contextmanager
    def _session(self) -> Iterator["_Session"]:
        with Wire(self.config.rules.url, self.patience) as http:
            session = _Session(http, self.config.plugin, self.account)
            try:
                yield session
            finally:
                session.end()

    def _investigations(self, session: "_Session", which: dict[str, str], spool: Spool | None = None) -> Iterator[Row]:
        def fetch(skip: int) -> tuple[list[Row], int]:
            what = f"investigations from {skip}"
            params = {"limit": str(self.config.rules.page_size), "skip": str(skip), **which}
            page = wire.listed(session.get("investigation", what, params), what)
            return page, _total(page, what)

        resumed = spool.resumed(fetch, config.fingerprint(self.config)) if spool else fetch
        return wire.rows(resumed, _id, "investigations")

    def _code(self, row: Row, assembly: Assembly) -> str | None:
        name = row.get("name")
        return assembly.code("proposal", name.strip()) if isinstance(name, str) and name.strip() else None

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
            gid=_number_in(row.get("parameters"), self.config.unix_ids.gid),
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
            key,
            user["name"],
            name=user.get("fullName"),
            email=user.get("email"),
            affiliation=affiliation,
            uid=_number_in(user, self.config.unix_ids.uid),
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


def _number_in(said: Any, name: str) -> int | None:
    """A Unix id under `name`, as text or as a number; None if there is none."""
    value = said.get(name) if isinstance(said, dict) and name else None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,10}", value) else None
    return _whole(value)


def _user(row: Row) -> Row | None:
    said = row.get("user")
    named = isinstance(said, dict) and isinstance(said.get("name"), str) and said["name"].strip()
    return said if named else None
