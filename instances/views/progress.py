"""The way of a launch, step by step, live."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from auth.access import Actor
from instances.models import Instance, InstanceEvent
from instances.policy import Action
from instances.services.queue import outlook
from instances.services.visibility import find
from instances.states import Progress, State

from .common import console_of, context_of, page, user_of

TITLES = {
    Progress.QUEUED: ("Queued", "Waits for a worker"),
    Progress.PLACING: ("Finding a place", "Looks for a machine with room"),
    Progress.CREATING: ("Starting the machine", "Makes your instance"),
    Progress.MOUNTING: ("Mounting your data", "Puts your experiments' folders in place"),
    Progress.STARTING: ("Starting the software", "Waits for the first sign of life"),
    Progress.READY: ("Ready", "Everything answers"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """`status` is done, active, failed or pending; `took` is known once it ended, `since` while it is active."""

    title: str
    hint: str
    message: str
    status: str
    since: datetime | None
    took: timedelta | None


def steps_of(state: State, events: Iterable[InstanceEvent], *, now: datetime) -> list[Step]:
    """The steps of one generation from its events: a step ends where the next one that was reported begins."""
    begun: dict[Progress, datetime] = {}
    said: dict[Progress, str] = {}
    ended = now
    for event in events:
        if event.step:
            step = Progress(event.step)
            begun.setdefault(step, event.at)
            said[step] = event.message
        ended = event.at
    order = list(Progress)
    if state is State.READY:
        begun.setdefault(Progress.READY, ended)
    reached = max((order.index(step) for step in begun), default=-1)
    steps = []
    for index, step in enumerate(order):
        title, hint = TITLES[step]
        since = begun.get(step)
        later = [begun[other] for other in order[index + 1 :] if other in begun]
        took = min(later) - since if since and later else None
        if index < reached or state is State.READY:
            status = "done"
        elif index == reached:
            status = "active" if state in _UNDER_WAY else "failed"
            took = ended - since if since and status == "failed" else None
        else:
            status = "pending"
        steps.append(Step(title, hint, said.get(step, ""), status, since if status == "active" else None, took))
    return steps


_UNDER_WAY = {State.QUEUED, State.STARTING, State.RESTARTING}


@require_safe
@page
def progress(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.INSPECT)
    return render(request, "instances/progress.html", _context(actor, instance))


@require_safe
@page
def steps(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.INSPECT)
    return render(request, "instances/_steps.html", _context(actor, instance))


def _context(actor: Actor, instance: Instance) -> dict[str, object]:
    events = list(instance.events.filter(generation=instance.generation))
    state = instance.display_state
    under_way = state in _UNDER_WAY
    begun = events[0].at if events else instance.created
    apps = instance.environment.apps
    return context_of(actor, instance, turns={}) | {
        "steps": steps_of(state, events, now=timezone.now()),
        "events": events,
        "console": console_of(instance),
        "under_way": under_way,
        "begun": begun,
        "turn": outlook(instance),
        "took": (events[-1].at if events else begun) - begun,
        "app": apps[0] if apps else "",
    }
