"""Everything about one instance."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from instances.models import Instance
from instances.policy import Action
from instances.services.visibility import find

from .common import console_of, context_of, page, user_of
from .sharing import people_of
from .time import time_of

LATEST = 100


@require_safe
@page
def detail(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.SEE)
    context = context_of(actor, instance) | time_of(instance)
    context |= people_of(actor, instance) | {
        "grants": by_proposal(instance),
        "events": instance.events.select_related("actor").order_by("-id")[:LATEST],
        "console": console_of(instance) if context["may"]["inspect"] else None,
        "connections": instance.connections.select_related("user")[:20],
    }
    return render(request, "instances/detail.html", context)


def by_proposal(instance: Instance) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """The instance's grants as (proposal, because, grants)."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for grant in instance.grants:
        grouped[grant["proposal"], grant["because"]].append(grant)
    return [(proposal, because, grants) for (proposal, because), grants in grouped.items()]
