"""Experiments: what somebody may use, and why."""

from collections import defaultdict
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from auth.access import Role
from auth.data import DataGrant, Entitlement
from auth.models.beamtime import Clipboard
from instances.errors import Invalid
from instances.policy import OVERSEERS, may_administer, may_review_access
from instances.services.accesses import accesses_of
from instances.services.clipboard import set_clipboard
from instances.services.experiments import Share, entitlements_of, find_experiment, known_to, searched
from instances.services.visibility import visible_to
from instances.states import State

from .common import page, user_of
from .home import in_context, kept, with_relations

ROWS = 25


@require_safe
@page
def listing(request: HttpRequest) -> HttpResponse:
    actor = user_of(request).as_actor()
    search = request.GET.get("search", "").strip()[:100]
    share = Share.OPEN if request.GET.get("of") == Share.OPEN else Share.YOURS
    now = timezone.now()
    mine = searched(known_to(actor, at=now, share=share), search)
    found = Paginator(mine, ROWS).get_page(request.GET.get("page"))
    entitlements = entitlements_of(actor, found.object_list, at=now)
    rows = [(experiment, experiment.phase(now), entitlements[experiment.pk]) for experiment in found.object_list]
    context = {
        "found": found,
        "rows": rows,
        "search": search,
        "share": share,
        "keep": kept({"search": search, "of": share if share is Share.OPEN else ""}),
        "section": "experiments",
    }
    return render(request, "instances/experiments.html", context)


@require_safe
@page
def experiment(request: HttpRequest, experiment_id: int) -> HttpResponse:
    """404 for whoever may not know of it, so that nobody can list what is measured here."""
    actor = user_of(request).as_actor()
    found = find_experiment(experiment_id, actor=actor)
    entitled = entitlements_of(actor, [found])[found.pk]
    review = may_review_access(actor, parts={claim.held.part for claim in entitled.claims if claim and claim.held})
    on_team = any(claim.held for claim in entitled.claims) or actor.has(*OVERSEERS, Role.AUDITOR)
    seen = with_relations(visible_to(actor).filter(experiments=found).exclude(state=State.DELETED))
    context = {
        "experiment": found,
        "phase": found.phase(),
        "entitled": entitled,
        "reasons": by_reason(entitled),
        "team": found.participations.select_related("user").order_by("part", "user__name") if on_team else [],
        "is_open": found.facts.is_open(timezone.now().date()),
        "cards": in_context(actor, seen[:24]),
        "section": "experiments",
    }
    if may_administer(actor):
        said = found.proposal.clipboard
        offered = [("", f"as everywhere: {Clipboard(settings.CLIPBOARD).label}"), *Clipboard.choices]
        context["clipboards"] = [(value, label, value == said) for value, label in offered]
    if review:
        accesses, rows = accesses_of(found, page=request.GET.get("page"))
        linked = set(visible_to(actor).filter(pk__in=[row.instance.pk for row in rows if row.instance]))
        context |= {"review": review, "found": accesses, "accesses": [(row, row.instance in linked) for row in rows]}
    return render(request, "instances/experiment.html", context)


@require_POST
@page
def clipboard(request: HttpRequest, experiment_id: int) -> HttpResponseBase:
    """For all experiments of its proposal."""
    user = user_of(request)
    found = find_experiment(experiment_id, actor=user.as_actor())
    try:
        set_clipboard(found.proposal_id, acting_user=user, allowed=request.POST.get("clipboard", ""))
    except Invalid as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"What may be copied is set for {found.proposal}. Open desktops reconnect.")
    return redirect("instances:experiment", experiment_id)


def by_reason(entitled: Entitlement) -> list[tuple[str, datetime | None, list[DataGrant]]]:
    """The folders as (because, until, grants): what ends at another time stands apart."""
    grouped: dict[tuple[str, datetime | None], list[DataGrant]] = defaultdict(list)
    for grant in entitled.grants:
        grouped[grant.because, grant.until].append(grant)
    return [(because, until, grants) for (because, until), grants in grouped.items()]
