"""Who was in an instance: as a page, and as a table to take away."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from auth.access import Actor
from instances.models import Connection, Instance
from instances.policy import Action, may
from instances.services.visibility import facts, find

from . import tables
from .common import context_of, page, user_of
from .tables import harmless

ROWS, AT_ONCE = 50, 500
COLUMNS = (
    "person", "username", "app", "mode", "screen", "address", "browser", "opened", "closed", "in", "out", "reason",
)  # fmt: skip


@require_safe
@page
def history(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    actor, instance = _asked_for(request, instance_id)
    found = Paginator(_rows(instance), ROWS).get_page(request.GET.get("page"))
    return render(
        request,
        "instances/history.html",
        context_of(actor, instance) | {"found": found, "because": _because(actor, instance)},
    )


@require_safe
@page
def table(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    """Every connection, the newest first, as CSV in UTF-8; moments in ISO 8601, bytes from and to the browser."""
    _, instance = _asked_for(request, instance_id)
    return tables.download(request, f"connections-{instance.key[:8]}.csv", _pieces(instance))


def _asked_for(request: HttpRequest, instance_id: UUID) -> tuple[Actor, Instance]:
    actor = user_of(request).as_actor()
    return actor, find(instance_id, actor=actor, action=Action.REVIEW)


def _because(actor: Actor, instance: Instance) -> str:
    return may(actor, Action.REVIEW, facts(instance)).because


def _rows(instance: Instance) -> QuerySet[Connection]:
    return instance.connections.select_related("user").order_by("-opened", "pk")


def _pieces(instance: Instance) -> Iterator[list[Sequence[Any]]]:
    yield [COLUMNS]
    rows = _rows(instance).iterator(chunk_size=AT_ONCE)
    while some := [_values(row) for row in islice(rows, AT_ONCE)]:
        yield some


def _values(row: Connection) -> Sequence[Any]:
    opened, closed = row.opened.isoformat(), row.closed.isoformat() if row.closed else ""
    who = (harmless(row.user.name), harmless(row.user.username), row.app, row.mode, row.monitor or "")
    return (*who, row.address or "", harmless(row.agent), opened, closed, row.bytes_in, row.bytes_out, row.reason)
