"""The audit trail: searching it, taking it away, checking its chain."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from auth.models import AuditEvent
from instances.services import trail
from instances.views import tables
from instances.views.common import user_of
from instances.views.home import kept
from instances.views.tables import harmless

from .common import ROWS, asked, shown, staff

COLUMNS = ("number", "time", "person id", "person", "action", "target", "because", "detail", "digest")


@staff
@require_safe
def audit(request: HttpRequest) -> HttpResponse:
    """Newest first; `before` and `after` are numbers of rows, so that a page costs the same wherever it lies."""
    query = asked(request, *trail.FILTERS)
    wanted, problems = trail.read(query)
    before, after = _number(request, "before"), _number(request, "after")
    rows: list[AuditEvent] = []
    more = False
    if not problems:
        found = trail.search(wanted, acting_user=user_of(request), first=before is None and after is None)
        rows, more = _page(found, before, after)
    forward = after is not None
    keep = kept(query)
    return shown(
        request,
        "audit.html",
        "audit",
        422 if problems else 200,
        rows=[(row, json.dumps(row.detail, indent=2, ensure_ascii=False, sort_keys=True)) for row in rows],
        query=query,
        problems=problems,
        actions=trail.actions(),
        newer=f"?{keep}after={rows[0].seq}" if rows and (more if forward else before is not None) else "",
        older=f"?{keep}before={rows[-1].seq}" if rows and (more or forward) else "",
        first=f"?{keep}" if before is not None or forward else "",
        download=urlencode({name: value for name, value in query.items() if value}),
    )


@staff
@require_safe
def download(request: HttpRequest) -> HttpResponseBase:
    """The rows of a search as CSV, streamed as they are read."""
    query = asked(request, *trail.FILTERS)
    wanted, problems = trail.read(query)
    if problems:
        return HttpResponse(" ".join(problems.values()), status=422, content_type="text/plain; charset=utf-8")
    pieces = _rows(trail.download(wanted, acting_user=user_of(request)))
    return tables.download(request, f"audit-{timezone.now():%Y%m%d-%H%M%S}.csv", pieces)


@staff
@require_safe
def chain(request: HttpRequest) -> HttpResponse:
    after = _number(request, "after") or 0
    checked = trail.check_chain(acting_user=user_of(request), after=after)
    return shown(request, "chain.html", "audit", checked=checked, begun=after + 1, digest=checked.stretch.digest.hex())


def _page(found: Any, before: int | None, after: int | None) -> tuple[list[AuditEvent], bool]:
    """Newest first, and whether there are more in the direction that was asked for."""
    if after is not None:
        rows = list(found.filter(seq__gt=after).order_by("seq")[: ROWS + 1])
        return rows[:ROWS][::-1], len(rows) > ROWS
    if before is not None:
        found = found.filter(seq__lt=before)
    rows = list(found[: ROWS + 1])
    return rows[:ROWS], len(rows) > ROWS


def _rows(pieces: Iterator[list[AuditEvent]]) -> Iterator[Iterable[Sequence[Any]]]:
    yield [COLUMNS]
    for piece in pieces:
        yield (
            (
                row.seq,
                row.at.astimezone(UTC).isoformat(),
                row.actor_id or "",
                harmless(row.actor_name),
                row.action,
                harmless(row.target),
                harmless(row.because),
                json.dumps(row.detail, ensure_ascii=False, sort_keys=True),
                bytes(row.digest).hex(),
            )
            for row in piece
        )


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
