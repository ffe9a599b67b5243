"""Experiments: what somebody may use, and why."""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from auth.access import Role
from auth.models import Experiment
from instances.policy import OVERSEERS
from instances.services.experiments import entitlements_of, my_experiments
from instances.services.visibility import visible_to
from instances.states import State

from .common import context_of, page, user_of
from .home import kept, with_relations

ROWS = 25


@require_safe
@page
def listing(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    search = request.GET.get("search", "").strip()[:100]
    found = Paginator(my_experiments(acting_user=user, search=search), ROWS).get_page(request.GET.get("page"))
    now = timezone.now()
    entitlements = entitlements_of(user.as_actor(), found.object_list, at=now)
    rows = [(experiment, experiment.phase(now), entitlements[experiment.pk]) for experiment in found.object_list]
    context = {
        "found": found,
        "rows": rows,
        "search": search,
        "keep": kept({"search": search}),
        "section": "experiments",
    }
    return render(request, "instances/experiments.html", context)


@require_safe
@page
def experiment(request: HttpRequest, experiment_id: int) -> HttpResponse:
    """404 for whoever gets nothing of it, so that nobody can list what is measured here."""
    user = user_of(request)
    actor = user.as_actor()
    found = Experiment.objects.select_related("proposal", "instrument").filter(pk=experiment_id).first()
    if not found:
        raise Http404
    entitled = entitlements_of(actor, [found])[found.pk]
    overseer = actor.has(*OVERSEERS, Role.AUDITOR)
    if not entitled and not overseer and not found.participations.filter(user=user).exists():
        raise Http404
    on_team = overseer or found.participations.filter(user=user).exists() or found.instrument_id in actor.instruments
    mine = with_relations(visible_to(actor).filter(experiments=found).exclude(state=State.DELETED))
    context = {
        "experiment": found,
        "phase": found.phase(),
        "entitled": entitled,
        "team": found.participations.select_related("user").order_by("part", "user__name") if on_team else [],
        "is_open": found.facts.is_open(timezone.now().date()),
        "cards": [context_of(actor, instance) for instance in mine[:24]],
        "section": "experiments",
    }
    return render(request, "instances/experiment.html", context)
