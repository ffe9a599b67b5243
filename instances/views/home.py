"""Home: the cards of one's own instances, and the list of all instances for staff."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from auth.access import Actor, Role
from instances.models import Environment, Instance
from instances.policy import OVERSEERS, Action
from instances.services import options
from instances.services.lifetimes import all_rules
from instances.services.queue import turns as turns_of
from instances.services.visibility import RELATED, find, visible_to
from instances.states import State

from .common import context_of, page, user_of

CARDS, ROWS, SHARED = 12, 50, 24


@require_safe
@page
def home(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    actor = user.as_actor()
    mine = with_relations(Instance.objects.filter(owner__in=actor.accounts).exclude(state=State.DELETED))
    shared = with_relations(visible_to(actor).filter(members__user__in=actor.accounts).exclude(state=State.DELETED))
    found = Paginator(mine, CARDS).get_page(request.GET.get("page"))
    cards = in_context(actor, [*found.object_list, *shared.distinct()[:SHARED]])
    own = len(found.object_list)
    context: dict[str, Any] = {
        "found": found,
        "cards": cards[:own],
        "shared": cards[own:],
        "oversees": oversees(actor),
        "section": "home",
    }
    if not found.paginator.count:
        context["decision"] = options.launch_options(acting_user=user).decision
    return render(request, "instances/home.html", context)


@require_safe
@page
def card(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """One card anew; nothing once the instance is deleted, which takes the card off the page."""
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.SEE)
    if instance.state == State.DELETED:
        return HttpResponse()
    return render(request, "instances/_card.html", context_of(actor, instance))


@require_safe
@page
def everything(request: HttpRequest) -> HttpResponse:
    """All instances, for those who look after them or audit them. The filters are in the URL."""
    actor = user_of(request).as_actor()
    if not oversees(actor):
        raise Http404
    rows = with_relations(visible_to(actor))
    rows = filtered(rows, request)
    found: Page[Instance] = Paginator(rows, ROWS).get_page(request.GET.get("page"))
    context = {
        "found": found,
        "rows": in_context(actor, found.object_list),
        "states": [state for state in State if state is not State.DELETED],
        "environments": Environment.objects.all(),
        "query": filters_of(request),
        "keep": kept(filters_of(request)),
        "section": "all",
    }
    return render(request, "instances/all.html", context)


@require_safe
@page
def thumbnail(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    instance = find(instance_id, actor=user_of(request).as_actor(), action=Action.WATCH)
    if not instance.thumbnail:
        raise Http404
    picture = bytes(instance.thumbnail)
    kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    return HttpResponse(picture, content_type=kind, headers={"Cache-Control": "private, max-age=3600"})


def in_context(actor: Actor, instances: Iterable[Instance]) -> list[dict[str, Any]]:
    """Each with what its card or row needs."""
    several = list(instances)
    rules, turns = all_rules(), turns_of(several)
    return [context_of(actor, instance, rules=rules, turns=turns) for instance in several]


def oversees(actor: Actor) -> bool:
    return actor.has(*OVERSEERS, Role.AUDITOR)


def with_relations(rows: QuerySet[Instance]) -> QuerySet[Instance]:
    """What a card shows, in two queries however many cards there are, and never the pictures' bytes."""
    return (
        rows.select_related("owner", "environment", "flavour", "cloud")
        .prefetch_related(*RELATED)
        .defer("thumbnail", "notes")
    )


def filtered(rows: QuerySet[Instance], request: HttpRequest) -> QuerySet[Instance]:
    wanted = filters_of(request)
    rows = rows.filter(state=wanted["state"]) if wanted["state"] else rows.exclude(state=State.DELETED)
    if wanted["environment"]:
        rows = rows.filter(environment__slug=wanted["environment"])
    for word in wanted["search"].split():
        rows = rows.filter(
            Q(name__icontains=word)
            | Q(owner__name__icontains=word)
            | Q(owner__username__icontains=word)
            | Q(flavour__name__icontains=word)
            | Q(pk__in=Instance.objects.filter(experiments__proposal__code__icontains=word).values("pk"))
        )
    return rows


def kept(filters: dict[str, str]) -> str:
    """The filters as the beginning of a query string, for links to other pages of the same list."""
    used = {name: value for name, value in filters.items() if value}
    return f"{urlencode(used)}&" if used else ""


def filters_of(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").strip()[:100] for name in ("search", "state", "environment")}
