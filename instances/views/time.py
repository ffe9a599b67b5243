"""More time for an instance: extending it, asking for more than that, keeping it running although it looks idle."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from instances.errors import Conflict, Invalid
from instances.models import Instance
from instances.policy import Action
from instances.services import extend as extending
from instances.services import keep as keeping
from instances.services.lifetimes import pending, rule_of
from instances.services.visibility import find

from .actions import told
from .common import context_of, end_of, ending, page, user_of

FIELDS = ("until", "because", "keep")
TIMED = timedelta(days=20)
"""The page of a desktop stays open and says by itself when a time comes: browsers count no further than 24 days."""


@require_POST
@page
def extend(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    seen = parse_datetime(request.POST.get("seen", "")[:40])

    def act() -> Instance:
        return extending.extend(instance_id, acting_user=user_of(request), seen=seen)

    return told(request, act, lambda instance: f"{instance.name} lives until {instance.expires:%-d %B, %H:%M} UTC.")


@require_safe
@page
def endings(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """What ends soon, for the page of the desktop, which asks again whenever it is told that something changed."""
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.WATCH)
    return render(
        request, "instances/_endings.html", context_of(actor, instance) | {"ending": ending(instance, within=TIMED)}
    )


@require_http_methods(["GET", "HEAD", "POST"])
@page
def more(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    user = user_of(request)
    actor = user.as_actor()
    problems: dict[str, str] = {}
    if request.method == "POST":
        try:
            messages.success(request, _done(request, instance_id))
            return redirect("instances:instance", instance_id)
        except Invalid as error:
            problems = error.fields
        except Conflict as error:
            problems = {"form": str(error)}
    instance = find(instance_id, actor=actor, action=Action.KEEP)
    context = context_of(actor, instance) | time_of(instance)
    context |= {
        "form": {name: request.POST.get(name, "") for name in FIELDS},
        "problems": problems,
        "requests": instance.extension_requests.exclude(state="pending")[:10],
    }
    return render(request, "instances/time.html", context, status=422 if problems else 200)


def time_of(instance: Instance) -> dict[str, Any]:
    """What the time's panel shows beside the instance's own columns."""
    moments = [at for at in (instance.active_at, *_inputs(instance)) if at]
    return {"rule": rule_of(instance), "asked": pending(instance), "last_active": max(moments, default=None)}


def _inputs(instance: Instance) -> Any:
    seats = instance.connections.filter(input_at__isnull=False).order_by("-input_at")
    return seats.values_list("input_at", flat=True)[:1]


def _done(request: HttpRequest, instance_id: UUID) -> str:
    """Do what the form asks for; the sentence that says so. Invalid names the form's own fields."""
    user, typed = user_of(request), request.POST
    what = typed.get("what")
    if what == "ask":
        until = end_of(typed.get("until", ""))
        because = typed.get("because", "").replace("\0", "")
        try:
            extending.ask_extension(instance_id, acting_user=user, until=until or timezone.now(), because=because)
        except Invalid as error:
            missing = {} if until else {"until": "Choose the last day on which you need it."}
            raise Invalid(error.fields | missing) from error
        return "An administrator will look at your request."
    if what == "withdraw":
        number = typed.get("request", "")
        extending.withdraw(int(number) if number.isdecimal() and len(number) < 10 else 0, acting_user=user)
        return "The request is taken back."
    if what == "release":
        keeping.keep_running(instance_id, acting_user=user, until=None)
        return "It is stopped when it is idle, as usual."
    return _keep(request, instance_id)


def _keep(request: HttpRequest, instance_id: UUID) -> str:
    user = user_of(request)
    day = request.POST.get("keep", "")
    until = end_of(day)
    if until is None:
        raise Invalid({"keep": "Choose the last day on which it is to run."})
    instance = find(instance_id, actor=user.as_actor(), action=Action.KEEP)
    if instance.expires and f"{instance.expires:%Y-%m-%d}" == day:
        until = instance.expires
    try:
        kept = keeping.keep_running(instance_id, acting_user=user, until=until)
    except Invalid as error:
        raise Invalid({"keep": str(error)}) from error
    return f"{kept.name} is kept running until {until:%-d %B, %H:%M} UTC."
