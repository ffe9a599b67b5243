"""SciCat 4.5 (`/api/v3`): a proposal, with a measurement period for each time on an instrument, owned by a group.

SciCat tells people only by e-mail address and group, and an address proves nothing. Who belongs to a group, and as
what, comes from a table of the facility's, as its directory exports it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from auth.data import Part

from . import cells, config, tables, wire
from .assembly import Assembly, bare_doi, opening
from .base import Catalogue, CatalogueError, CatalogueUnavailable, Experiment, PersonKey
from .config import Rules
from .wire import Account, Patience, Row, Wire


@dataclass(frozen=True, slots=True)
class Member:
    key: PersonKey
    name: str
    email: str
    part: Part


@dataclass(frozen=True, slots=True)
class Config:
    rules: Rules
    """Its url goes up to and includes `/api/v3`."""
    members: Mapping[str, tuple[Member, ...]]
    access_groups: bool
    """Whether a proposal's accessGroups take part too, or its ownerGroup alone. SciCat lets the former only read."""
    released: str
    doi: str
    """Under which names a proposal's metadata hold these, if they do: nothing is public otherwise."""


def load(file: Path) -> Config:
    """CatalogueError with every mistake."""
    document = config.load(file)
    members = document.take("members", config.of(cells.text(1000)))
    metadata = document.part("metadata")
    found = Config(
        rules=config.rules(document),
        members=_members(file.parent / members, document.problems) if members else {},
        access_groups=document.take("access_groups", config.flag, False),
        released=metadata.take("released", config.of(cells.text(100)), ""),
        doi=metadata.take("doi", config.of(cells.text(100)), ""),
    )
    metadata.close()
    document.close()
    if document.problems:
        raise CatalogueError(document.problems)
    return found


def _members(file: Path, problems: list[str]) -> dict[str, tuple[Member, ...]]:
    required = {
        "group": cells.text(200),
        "iss": cells.issuer,
        "sub": cells.text(255),
        "name": cells.text(200),
        "part": cells.part,
    }
    found: dict[str, dict[tuple[PersonKey, Part], Member]] = {}
    for row in tables.read(file, required, {"email": cells.email}, problems):
        member = Member(PersonKey(row["iss"], row["sub"]), row["name"], row.values.get("email", ""), row["part"])
        group = found.setdefault(row["group"], {})
        if (member.key, member.part) in group:
            problems.append(f"{row.where}: the same group, person and part twice")
        group[member.key, member.part] = member
    return {name: tuple(group.values()) for name, group in found.items()}


@dataclass
class Scicat:
    config: Config
    account: Account
    patience: Patience = field(default_factory=Patience)
    name: str = "scicat"
    notes: list[str] = field(default_factory=list, init=False)
    """What was left out of the last catalogue read."""

    def read(self) -> Catalogue:
        self.notes = []
        assembly = Assembly(self.config.rules)
        with Wire(self.config.rules.url, self.patience) as http:
            session = _Session(http, self.account)
            for row in self._proposals(session):
                self._proposal(row, assembly)
        catalogue = assembly.catalogue()
        self.notes = assembly.report()
        return catalogue

    def _proposals(self, session: "_Session") -> Iterator[Row]:
        """The list has no total of its own, so the service counts before and after."""
        total = session.count()

        def fetch(skip: int) -> tuple[list[Row], int]:
            what = f"proposals from {skip}"
            # Without an order, pages could overlap.
            limits = {"limit": self.config.rules.page_size, "skip": skip, "order": "proposalId:asc"}
            filters = json.dumps({"where": {}, "limits": limits})
            return wire.listed(session.get("proposals", what, {"filters": filters}), what), total

        yield from wire.rows(fetch, _id, "proposals")
        if (now := session.count()) != total:
            raise CatalogueUnavailable(f"proposals: there were {total}, and now {now}; it changed while it was read")

    def _proposal(self, row: Row, assembly: Assembly) -> None:
        name = _id(row)
        where = f"proposal {name}"
        groups = self._groups(row, where, assembly)
        periods = row.get("MeasurementPeriodList")
        if not isinstance(periods, list | None) or not all(isinstance(period, dict) for period in periods or []):
            assembly.problem(f"{where}: MeasurementPeriodList must be a list of objects")
            return
        if (code := assembly.code("proposal", name)) is None:
            return
        released, doi = self._release(row, where, assembly)
        assembly.proposal(
            code,
            title=row.get("title") or "",
            abstract=row.get("abstract") or "",
            released=released,
            doi=doi,
            rank=(name,),
        )
        members = [member for group in groups for member in self._of(group, assembly)]
        if not periods:
            assembly.leave_out(name, "proposals without a measurement period")
        for period in periods or []:
            if key := self._period(code, period, where, row, assembly):
                for member in members:
                    person = assembly.person(member.key, member.key.sub, name=member.name, email=member.email)
                    assembly.participation(key, person, member.part)

    def _period(self, code: str, period: Row, where: str, row: Row, assembly: Assembly) -> str | None:
        name = period.get("instrument")
        if not isinstance(name, str) or not name.strip():
            assembly.problem(f"{where}: a measurement period has no instrument")
            return None
        start = assembly.moment(where, "start", period.get("start"))
        end = assembly.moment(where, "end", period.get("end"))
        # An instrument may be called by a path such as /PSI/SLS/TOMCAT.
        instrument = assembly.instrument(name.strip(), name.strip().rstrip("/").rpartition("/")[2])
        if start is None or end is None or instrument is None:
            assembly.leave_out(where, "proposals with a measurement period without dates or instrument")
            return None
        key = f"{code}/{_period_id(period, instrument, start)}"
        fits = assembly.experiment(Experiment(key, code, instrument, row.get("title") or "", start, end))
        return key if fits else None

    def _release(self, row: Row, where: str, assembly: Assembly) -> tuple[date | None, str]:
        """SciCat knows only whether a proposal is published; since when, and under what DOI, is in its metadata."""
        said = row.get("metadata")
        if row.get("isPublished") is not True or not isinstance(said, dict):
            return None, ""
        moment = assembly.moment(where, self.config.released, _midnight(_plain(said.get(self.config.released))))
        return opening(moment), bare_doi(_plain(said.get(self.config.doi)))

    def _groups(self, row: Row, where: str, assembly: Assembly) -> list[str]:
        owner, access = row.get("ownerGroup"), row.get("accessGroups") or []
        if not isinstance(owner, str) or not isinstance(access, list) or not all(isinstance(g, str) for g in access):
            assembly.problem(f"{where}: ownerGroup must be text and accessGroups a list of texts")
            return []
        return list(dict.fromkeys([owner, *(access if self.config.access_groups else [])]))

    def _of(self, group: str, assembly: Assembly) -> tuple[Member, ...]:
        if (members := self.config.members.get(group)) is None:
            assembly.leave_out(repr(group), "groups whose members are not known")
        return members or ()


class _Session:
    """Signed in with the portal's own account; the token travels in a header."""

    def __init__(self, http: Wire, account: Account) -> None:
        self._http = http
        self._credentials = {"username": account.username, "password": account.password}
        self._token = ""

    def count(self) -> int:
        said = self.get("proposals/count", "the number of proposals", {})
        count = said.get("count") if isinstance(said, dict) else None
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise CatalogueUnavailable("the number of proposals: the answer holds none")
        return count

    def get(self, path: str, what: str, params: dict[str, str]) -> Any:
        """Signs in again, once, when the token has run out in the meantime."""
        fresh = not self._token
        if fresh:
            self._begin()
        try:
            return self._get(path, what, params)
        except wire.Refused:
            if fresh:
                raise
        self._begin()
        return self._get(path, what, params)

    def _get(self, path: str, what: str, params: dict[str, str]) -> Any:
        """Whoever brings a token that has run out is nobody to SciCat, and is told what is public, with HTTP 200.

        So it is asked after each answer whether somebody was signed in: that, it refuses. Source: JwtAuthGuard,
        AuthenticatedPoliciesGuard.
        """
        found = self._http.ask("GET", path, what=what, params=params, bearer=self._token)
        self._http.ask("GET", "users/my/self", what="who is signed in", bearer=self._token)
        return found

    def _begin(self) -> None:
        said = self._http.ask("POST", "auth/login", what="signing in", body=self._credentials)
        found = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(found, str) or not found.isascii() or not found.isprintable() or not found:
            raise CatalogueUnavailable("signing in: the answer holds no token")
        self._token = found


def _id(row: Row) -> str:
    found = row.get("proposalId")
    if not isinstance(found, str) or not found.strip():
        raise CatalogueError(["proposals: one has no proposalId"])
    return found


def _period_id(period: Row, instrument: str, start: datetime) -> str:
    """Its own id if it has one: a period that is moved stays the same experiment."""
    for name in ("id", "_id"):
        found = period.get(name)
        if isinstance(found, str) and 0 < len(found) <= 60 and found.isprintable():
            return found
    return f"{instrument}-{start:%Y%m%dT%H%M%S}"


def _plain(value: Any) -> Any:
    """Metadata are plain or come as `{"value": …, "unit": …}`."""
    return value.get("value") if isinstance(value, dict) else value


def _midnight(value: Any) -> Any:
    """Of a day, in UTC; a time stays what it is."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and len(value) == len("2026-11-20") else value
