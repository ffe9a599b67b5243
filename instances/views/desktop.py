"""The desktop: the whole viewport, drawn by the browser from what the broker sends."""

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from instances.models.connection import App
from instances.policy import Action
from instances.services import clipboard
from instances.services.display import DEFAULT, RESOLUTIONS
from instances.services.visibility import find

from .common import context_of, ending, page, user_of
from .sharing import people_of
from .time import TIMED


@require_safe
@page
def desktop(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.WATCH)
    if App.DESKTOP not in instance.environment.apps:
        return redirect("instances:instance", instance_id)
    if not instance.is_open:
        return redirect("instances:progress", instance_id)
    context = (
        context_of(actor, instance)
        | people_of(actor, instance)
        | {
            # A window beside the first one; what it may is asked with its ticket.
            "monitor": 2 if request.GET.get("monitor") == "2" else None,
            "in_desktop": True,
            "clipboard": clipboard.allowed_in(instance),
            "ending": ending(instance, within=TIMED),
            "display": DEFAULT | instance.display,
            "resolutions": RESOLUTIONS,
        }
    )
    return render(request, "instances/desktop.html", context)
