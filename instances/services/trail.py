"""Reading the audit trail: searching it, taking it away, checking its chain. Each is an access that leaves a row."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from auth import audit
from auth.access import Actor
from auth.models import AuditEvent, User
from instances.errors import Denied
from instances.policy import may_audit

PORTAL = "system"
"""As a person: what the portal did by itself."""
FILTERS = ("person", "action", "target", "since", "until")
NAMESAKES = 50
CHUNK = 2000
CHECKED_AT_ONCE = 20_000
PATIENCE = 4.0
"""Seconds that somebody waits for a part of the check."""


@dataclass(frozen=True, slots=True)
class Search:
    """What of the trail is looked for. Empty: everything."""

    person: str = ""
    """A login, a part of a name, or `system`."""
    action: str = ""
    """`role.grant`, or `role.` for all that begin so."""
    target: str = ""
    """`user:7`."""
    since: datetime | None = None
    until: datetime | None = None

    def detail(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items() if value}


def read(query: Mapping[str, str]) -> tuple[Search, dict[str, str]]:
    """A search from what was typed, and a sentence for each field that makes no sense. Times without a zone are UTC."""
    problems: dict[str, str] = {}
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        times[name] = _moment(query[name])
        if query[name] and times[name] is None:
            problems[name] = "Write a day and a time, for example 2026-11-23 14:30."
    if not problems and times["since"] and times["until"] and times["since"] > times["until"]:
        problems["until"] = "This lies before the beginning."
    return Search(query["person"], query["action"], query["target"], times["since"], times["until"]), problems


def search(wanted: Search, *, acting_user: User, first: bool) -> QuerySet[AuditEvent]:
    """The rows, newest first. `first`: the search begins here, and is written down; its further pages are not."""
    actor = _auditor(acting_user)
    rows = _matching(wanted)
    if first:
        rows = rows.filter(seq__lte=_newest())  # without the row that says so
        _written(actor, "audit.search", wanted)
    return rows


def download(wanted: Search, *, acting_user: User) -> Iterator[list[AuditEvent]]:
    """All rows of a search in pieces, newest first, up to what was there when it began."""
    actor = _auditor(acting_user)
    rows = _matching(wanted)
    newest = _newest()
    _written(actor, "audit.download", wanted)
    return _pieces(rows, newest)


def _newest() -> int:
    return AuditEvent.objects.order_by("-seq").values_list("seq", flat=True).first() or 0


def _pieces(rows: QuerySet[AuditEvent], newest: int) -> Iterator[list[AuditEvent]]:
    while piece := list(rows.filter(seq__lte=newest)[:CHUNK]):
        yield piece
        newest = piece[-1].seq - 1


@dataclass(frozen=True, slots=True)
class Checked:
    """How far the chain was followed. `done`: to its end, or to where it breaks."""

    stretch: audit.Stretch
    count: int
    done: bool


def check_chain(*, acting_user: User, after: int = 0) -> Checked:
    """Verify what follows row `after`, for a few seconds at most; go on with `after` = the last row."""
    actor = _auditor(acting_user)
    deadline, count, done = time.monotonic() + PATIENCE, 0, False
    while True:
        stretch = audit.verify(after=after, limit=CHECKED_AT_ONCE)
        count += stretch.count
        done = stretch.broken is not None or stretch.count < CHECKED_AT_ONCE
        if done or time.monotonic() > deadline:
            break
        after = stretch.last
    with transaction.atomic():
        found = {"rows": count, "last": stretch.last, "broken": stretch.broken, "complete": done}
        audit.record("audit.check", "audit:trail", actor=actor, detail=found)
    return Checked(stretch, count, done)


def actions() -> list[str]:
    """Every action that stands in the trail, without reading it all: from one to the next along the index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE known(action) AS ("
            " (SELECT action FROM visa_auth_auditevent ORDER BY action LIMIT 1)"
            " UNION ALL SELECT (SELECT e.action FROM visa_auth_auditevent e WHERE e.action > known.action"
            " ORDER BY e.action LIMIT 1) FROM known WHERE known.action IS NOT NULL"
            ") SELECT action FROM known WHERE action IS NOT NULL"
        )
        return [row[0] for row in cursor.fetchall()]


def _auditor(acting_user: User) -> Actor:
    actor = acting_user.as_actor()
    if not (decision := may_audit(actor)):
        raise Denied(decision)
    return actor


def _written(actor: Actor, action: str, wanted: Search) -> None:
    with transaction.atomic():
        audit.record(action, "audit:trail", actor=actor, detail=wanted.detail())


def _matching(wanted: Search) -> QuerySet[AuditEvent]:
    rows = AuditEvent.objects.order_by("-seq")
    if wanted.person == PORTAL:
        rows = rows.filter(actor=None)
    elif wanted.person:
        rows = rows.filter(actor__in=_people(wanted.person))
    if wanted.action:
        begins = [name for name in actions() if name.startswith(wanted.action)] if wanted.action.endswith(".") else None
        rows = rows.filter(action=wanted.action) if begins is None else rows.filter(action__in=begins)
    if wanted.target:
        rows = rows.filter(target=wanted.target)
    return _between(rows, wanted.since, wanted.until)


def _people(words: str) -> list[int]:
    """Whoever has that login, with their other identities; otherwise those whose name holds the words."""
    by_login = User.objects.filter(username__iexact=words).first()
    if by_login:
        return sorted(by_login.as_actor().accounts)
    named = User.objects.filter(name__icontains=words).order_by("pk")
    return list(named.values_list("pk", flat=True)[:NAMESAKES])


def _between(rows: QuerySet[AuditEvent], since: datetime | None, until: datetime | None) -> QuerySet[AuditEvent]:
    """Times never go back along the chain, so a span of time is a span of numbers, which the key finds at once."""
    by_time = AuditEvent.objects.order_by("at", "seq").values_list("seq", flat=True)
    if since:
        first = by_time.filter(at__gte=since).first()
        rows = rows.filter(seq__gte=first) if first is not None else rows.none()
    if until:
        after = by_time.filter(at__gt=until).first()
        rows = rows.filter(seq__lt=after) if after is not None else rows
    return rows


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
