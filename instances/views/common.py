"""What every page does: ask who it is, and turn refusals into pages that say why."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from auth.access import Actor
from auth.models import User
from instances.errors import Denied, NotFound
from instances.models import Console, Instance, LifetimeRule
from instances.policy import Action, may
from instances.services import queue, rights
from instances.services.queue import Turn
from instances.services.visibility import experiments_shown, facts
from instances.states import State

from .life import life_of

P = ParamSpec("P")


def page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """A view for people who are signed in. NotFound becomes 404 and Denied 403, with the reason."""

    @wraps(view)
    def answered(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NotFound as error:
            raise Http404(str(error)) from error
        except Denied as error:
            return refused(request, error.decision.because)

    return login_required(answered)


def refused(request: HttpRequest, because: str) -> HttpResponse:
    return render(request, "403.html", {"because": because}, status=403)


def user_of(request: HttpRequest) -> User:
    return cast(User, request.user)


def allowed(actor: Actor, instance: Instance) -> dict[str, bool]:
    """Which actions to offer: what policy allows and what makes sense in this state."""
    state = instance.display_state
    subject = facts(instance)
    fits = {
        "control": (Action.CONTROL, instance.is_open),
        "start": (Action.START, state in {State.STOPPED, State.FAILED}),
        "stop": (Action.STOP, state in _STOPPABLE and not instance.waiting_since),
        "leave": (Action.STOP if instance.cloud_id else Action.DELETE, bool(instance.waiting_since)),
        "restart": (Action.START, state is State.READY),
        "delete": (Action.DELETE, state not in {State.DELETING, State.DELETED}),
        "describe": (Action.RENAME, state is not State.DELETED),
        "extend": (Action.EXTEND, state not in {State.DELETING, State.DELETED} and bool(instance.expires)),
        "keep": (Action.KEEP, state not in {State.DELETING, State.DELETED}),
        "pin": (Action.PIN, state not in {State.DELETING, State.DELETED}),
        "watch": (Action.WATCH, True),
        "inspect": (Action.INSPECT, True),
        "review": (Action.REVIEW, True),
        "share": (Action.SHARE, state not in {State.DELETING, State.DELETED}),
        "ask": (Action.ASK, instance.is_open and instance.owner_id not in actor.accounts),
        "answer": (Action.APPROVE, state is not State.DELETED),
        "look": (Action.WATCH, instance.is_open),
    }
    return {name: sensible and bool(may(actor, action, subject)) for name, (action, sensible) in fits.items()}


_STOPPABLE = {State.QUEUED, State.STARTING, State.READY, State.RESTARTING, State.UNKNOWN}


def ending(instance: Instance, *, within: timedelta = rights.WARNING) -> dict[str, Any] | None:
    """What of its data ends soon, and what becomes of it then; None when nothing does."""
    end = instance.entitled_until
    if not (end and instance.is_open and end - timezone.now() <= within):
        return None
    stays = settings.LOST_ACCESS == "restart" and any(g["until"] != end.isoformat() for g in instance.grants)
    soon = end - timezone.now() <= rights.WARNING
    return {"at": end, "soon": soon, "proposals": rights.proposals_ending(instance), "restarts": stays}


def console_of(instance: Instance) -> Console | None:
    """What its machine showed last, where it failed; for those who may inspect it."""
    if instance.state != State.FAILED:
        return None
    return Console.objects.filter(instance=instance, generation=instance.generation).first()


def end_of(day: str) -> datetime | None:
    """The moment at which `day` is over, in UTC; None where that is no day."""
    try:
        return datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        return None


def context_of(
    actor: Actor,
    instance: Instance,
    *,
    rules: list[LifetimeRule] | None = None,
    turns: Mapping[UUID, Turn] | None = None,
) -> dict[str, Any]:
    """What the parts of an instance's page need. `at`: its address, below which its actions lie. `rules`: those of
    lifetimes, `turns`: of those that wait in line, where they were loaded for a whole list.
    """
    may_do = allowed(actor, instance)
    if turns is None:
        turns = queue.turns([instance])
    return {
        "life": life_of(actor, instance, extends=may_do["extend"], rules=rules),
        "instance": instance,
        "may": may_do,
        "ending": ending(instance) if may_do["inspect"] else None,
        "mine": instance.owner_id in actor.accounts,
        "chips": experiments_shown(actor, instance),
        "turn": turns.get(instance.pk),
        "at": reverse("instances:instance", args=[instance.pk]),
    }
