"""Drift: what is wanted against what was last seen, what should not be there, and what is to become of it."""

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from instances.errors import Conflict, Invalid
from instances.models import Cloud, Stray
from instances.reconcile.compared import as_last_seen
from instances.services import adopt as service
from instances.services import drift as rows
from instances.states import Desired, State
from instances.views.common import user_of
from instances.views.home import kept

from .clouds import conditions
from .common import ROWS, administrators, asked, shown, staff, text

SHOWN = {
    "": ("What differs", Q()),
    "waiting": ("In line for a place", Q(waiting_since__isnull=False)),
    "missing": ("Missing from its cloud’s list", Q(missing_since__isnull=False)),
    "unknown": ("Unknown", Q(state=State.UNKNOWN)),
    "going": ("To be deleted", Q(desired=Desired.DELETED)),
}
FIRST = 10
"""Strays above the instances; all of them have a list of their own."""
GONE = "It is not there any more: its cloud no longer lists it, or it has been adopted."


@staff
@require_safe
def drift(request: HttpRequest) -> HttpResponse:
    query = asked(request, "show", "cloud")
    everything, only_strays = query["show"] == "all", query["show"] == "strays"
    found = rows.living() if everything else rows.differing().filter(SHOWN.get(query["show"], SHOWN[""])[1])
    strays = Stray.objects.select_related("cloud").order_by("-kind", "found", "pk")
    if query["cloud"]:
        found, strays = found.filter(cloud__name=query["cloud"]), strays.filter(cloud__name=query["cloud"])
    found = found.select_related("owner", "environment", "cloud").defer("thumbnail", "notes")
    number = request.GET.get("page")
    instances = Paginator(found.order_by("state_since", "pk"), ROWS).get_page(number)
    beside = Paginator(strays, ROWS if only_strays else FIRST).get_page(number if only_strays else 1)
    return shown(
        request,
        "drift.html",
        "drift",
        found=beside if only_strays else instances,
        compared=[] if only_strays else as_last_seen(instances),
        only_strays=only_strays,
        strays=beside if query["show"] in ("", "all", "strays") else [],
        troubled=[one for one in conditions(timezone.now()) if not one.well],
        counts=rows.counts(),
        query=query,
        keep=kept(query),
        choices=[(name, words) for name, (words, _) in SHOWN.items()],
        clouds=Cloud.objects.order_by("title"),
    )


@administrators(reason="to have an instance looked at again")
@require_http_methods(["GET", "HEAD", "POST"])
def look_again(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    related = rows.living().select_related("owner", "environment", "cloud").defer("thumbnail", "notes")
    instance = get_object_or_404(related, pk=instance_id)
    problem, status = "", 200
    if request.method == "POST":
        try:
            rows.look_again(instance.pk, acting_user=user_of(request))
        except Conflict as error:
            problem, status = str(error), 409
        else:
            messages.success(request, f"A worker looks at {instance.name} now.")
            return redirect("instances:administration_drift")
    (one,) = as_last_seen([instance])
    return shown(request, "look_again.html", "drift", status, one=one, problem=problem)


@administrators(reason="to adopt an orphan")
@require_http_methods(["GET", "HEAD", "POST"])
def adopt(request: HttpRequest, stray_id: int) -> HttpResponseBase:
    stray = _orphan(stray_id)
    if stray is None:
        return _gone(request)
    problem, status = "", 200
    if request.method == "POST":
        try:
            instance = service.adopt(stray.pk, acting_user=user_of(request))
        except Conflict as error:
            problem, status = str(error), 409
        else:
            messages.success(request, f"It is an instance of {instance.owner.name} now, and is being stopped.")
            return redirect("instances:instance", instance.pk)
    try:
        named = service.named(stray)
    except Conflict as error:
        named, problem = None, str(error)
    return shown(request, "adopt.html", "drift", status, stray=stray, named=named, problem=problem)


@administrators(reason="to delete an orphan")
@require_http_methods(["GET", "HEAD", "POST"])
def discard(request: HttpRequest, stray_id: int) -> HttpResponseBase:
    stray = _orphan(stray_id)
    if stray is None:
        return _gone(request)
    problems: dict[str, str] = {}
    because = text(request.POST, "because")
    if request.method == "POST":
        try:
            service.delete_stray(stray.pk, acting_user=user_of(request), because=because)
        except Invalid as error:
            problems = error.fields
        else:
            messages.success(request, f"{stray.key[:8]} is deleted with the next look at {stray.cloud}.")
            return redirect("instances:administration_drift")
    return shown(
        request, "discard.html", "drift", 422 if problems else 200, stray=stray, problems=problems, because=because
    )


def _orphan(stray_id: int) -> Stray | None:
    return Stray.objects.select_related("cloud").filter(pk=stray_id, kind=Stray.Kind.ORPHAN).first()


def _gone(request: HttpRequest) -> HttpResponse:
    messages.info(request, GONE)
    return redirect("instances:administration_drift")
