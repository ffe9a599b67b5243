"""SciCat 4.5 (`/api/v3`): a proposal, with a measurement period for each time on an instrument, owned by a group.

SciCat tells people only by e-mail address and group, and an address proves nothing. Who belongs to a group, and as
what, comes from a table of the facility's, as its directory exports it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from auth.data import Part

from . import cells, config, tables, wire
from .assembly import Assembly, bare_doi, opening
from .base import Catalogue, CatalogueError, CatalogueUnavailable, Cursor, Experiment, Known, News, PersonKey
from .config import Rules
from .identities import canonical
from .spool import Spool
from .wire import Account, Moved, Patience, Row, Wire

OVERLAP = timedelta(minutes=5)
"""How far news reach back before the newest change seen: what is written at the same time may show later."""

MOST_GROUPS = 100
"""Whose members changed, to be asked for by name: they are part of an address."""


@dataclass(frozen=True, slots=True)
class Member:
    key: PersonKey
    name: str
    email: str
    part: Part
    uid: int | None


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
    gid: str


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
        gid=metadata.take("gid", config.of(cells.text(100)), ""),
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
    for row in tables.read(file, required, {"email": cells.email, "uid": cells.unix_id}, problems):
        key, email = canonical(PersonKey(row["iss"], row["sub"])), row.values.get("email", "")
        member = Member(key, row["name"], email, row["part"], row.values.get("uid"))
        group = found.setdefault(row["group"], {})
        if (member.key, member.part) in group:
            problems.append(f"{row.where}: the same group, person and part twice")
        group[member.key, member.part] = member
    return {name: tuple(group.values()) for name, group in found.items()}


@dataclass
class Scicat:
    """Without `spool`, an interrupted read begins anew."""

    config: Config
    account: Account
    patience: Patience = field(default_factory=Patience)
    name: str = "scicat"
    spool: Spool | None = None
    notes: list[str] = field(default_factory=list, init=False)
    cursor: Cursor = field(default_factory=dict, init=False)
    _newest: list[datetime] | None = field(default=None, init=False)
    """When the proposals of this read were last changed; None as soon as one does not say."""

    def read(self) -> Catalogue:
        began = self.spool.began() if self.spool else datetime.now(UTC)
        catalogue = self._assembled(self._all)
        if self.spool:
            self.spool.forget()
        # What changed while it was read may have been read before.
        self.cursor = self._cursor(OVERLAP + (datetime.now(UTC) - began))
        return catalogue

    def news(self, cursor: Cursor, known: Known) -> News | None:
        """Proposals whose `updatedAt` is later than the last one seen, or not much earlier, or whose group changed.

        That a proposal was removed, SciCat tells nobody: only a whole read finds it.
        """
        since, before = cursor.get("since"), cursor.get("groups")
        if not isinstance(since, str) or not isinstance(before, dict) or cursor.get("of") != self._rules():
            return None
        now = _groups_of(self.config.members)
        groups = sorted(group for group in before.keys() | now.keys() if before.get(group) != now.get(group))
        if len(groups) > MOST_GROUPS:
            return None
        catalogue = self._assembled(lambda session: self._since(session, since, groups))
        if self._newest is None:
            return None
        codes = frozenset(proposal.code for proposal in catalogue.proposals)
        return News(catalogue, codes, self._cursor(OVERLAP) if self._newest else cursor | {"groups": now})

    def _assembled(self, rows: Callable[["_Session"], Iterator[Row]]) -> Catalogue:
        self.notes, self._newest = [], []
        assembly = Assembly(self.config.rules)
        with Wire(self.config.rules.url, self.patience) as http:
            for row in rows(_Session(http, self.account)):
                self._note_change(row)
                self._proposal(row, assembly)
        catalogue = assembly.catalogue()
        self.notes = assembly.report()
        return catalogue

    def _note_change(self, row: Row) -> None:
        try:
            moment = cells.moment(str(row.get("updatedAt")))
        except ValueError:
            self._newest = None
        if self._newest is not None:
            self._newest = [max([moment, *self._newest])]

    def _cursor(self, overlap: timedelta) -> Cursor:
        """By the service's own clock; empty when it does not tell."""
        if not self._newest:
            return {}
        since = self._newest[0] - overlap
        groups = _groups_of(self.config.members)
        return {"of": self._rules(), "since": since.isoformat(timespec="milliseconds"), "groups": groups}

    def _rules(self) -> str:
        """What the configuration says apart from the members, who change from day to day."""
        return config.fingerprint(replace(self.config, members={}))

    def _page(self, session: "_Session", skip: int, where: dict[str, Any]) -> list[Row]:
        what = f"proposals from {skip}"
        # Without an order, pages could overlap.
        limits = {"limit": self.config.rules.page_size, "skip": skip, "order": "proposalId:asc"}
        filters = json.dumps({"where": where, "limits": limits})
        return wire.listed(session.get("proposals", what, {"filters": filters}), what)

    def _all(self, session: "_Session") -> Iterator[Row]:
        """The list has no total of its own, so the service counts before and after."""
        total = session.count()

        def fetch(skip: int) -> tuple[list[Row], int]:
            return self._page(session, skip, {}), total

        resumed = self.spool.resumed(fetch, config.fingerprint(self.config)) if self.spool else fetch
        yield from wire.rows(resumed, _id, "proposals")
        if (now := session.count()) != total:
            raise Moved(f"proposals: there were {total}, and now {now}; it changed while it was read")

    def _since(self, session: "_Session", since: str, groups: list[str]) -> Iterator[Row]:
        """Nobody counts these: they end with an empty page."""
        where: dict[str, Any] = {"updatedAt": {"$gte": since}}
        if groups:
            names = ["ownerGroup", *(["accessGroups"] if self.config.access_groups else [])]
            where = {"$or": [where, *({name: {"$in": groups}} for name in names)]}
        seen: set[str] = set()
        while page := self._page(session, len(seen), where):
            for row in page:
                if _id(row) in seen:
                    raise Moved(f"proposals: {_id(row)!r} came twice; it changed while it was read")
                seen.add(_id(row))
                yield row

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
            gid=self._gid(row),
            rank=(name,),
        )
        members = [member for group in groups for member in self._of(group, assembly)]
        if not periods:
            assembly.leave_out(name, "proposals without a measurement period")
        for period in periods or []:
            if key := self._period(code, period, where, row, assembly):
                for member in members:
                    person = assembly.person(
                        member.key, member.key.sub, name=member.name, email=member.email, uid=member.uid
                    )
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

    def _gid(self, row: Row) -> int | None:
        said = row.get("metadata")
        value = _plain(said.get(self.config.gid)) if isinstance(said, dict) and self.config.gid else None
        return int(str(value)) if re.fullmatch(r"[1-9][0-9]{0,9}", str(value)) else None

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
            return self._http.ask("GET", path, what=what, params=params, bearer=self._token)
        except wire.Refused:
            if fresh:
                raise
        self._begin()
        return self._http.ask("GET", path, what=what, params=params, bearer=self._token)

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


def _groups_of(members: Mapping[str, tuple[Member, ...]]) -> dict[str, str]:
    """A number for each group that changes with anything about its members."""
    return {group: config.fingerprint(of)[:16] for group, of in members.items()}


def _plain(value: Any) -> Any:
    """Metadata are plain or come as `{"value": …, "unit": …}`."""
    return value.get("value") if isinstance(value, dict) else value


def _midnight(value: Any) -> Any:
    """Of a day, in UTC; a time stays what it is."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and len(value) == len("2026-11-20") else value
