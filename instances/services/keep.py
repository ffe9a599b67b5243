"""Leaving an instance running: for a while, by its owner; for good, by an administrator."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import User
from instances.errors import Conflict, Invalid
from instances.models import Instance
from instances.policy import Action
from instances.states import State

from . import lifetimes
from .roles import reason_problem
from .transitions import told
from .visibility import find

LONGEST = timedelta(days=60)
"""Without an end of its lifetime, so far ahead at most."""


def keep_running(instance_id: UUID | str, *, acting_user: User, until: datetime | None) -> Instance:
    """It is not stopped for idleness before `until`; None takes that back. Invalid when its lifetime ends before."""
    actor, now = acting_user.as_actor(), timezone.now()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.KEEP, lock=True)
        if until is not None and (problem := _problem(instance, until, now)):
            raise Invalid({"until": problem})
        message = f"Kept running until {until:%-d %B %Y, %H:%M} UTC" if until else "Not kept running any longer"
        _change(instance, actor, message, keep_until=until, warnings=lifetimes.without(instance, "idle"))
        detail = {"until": until.isoformat() if until else None}
        audit.record("instance.keep", f"instance:{instance.pk}", actor=actor, because=message, detail=detail)
    return instance


def pin(instance_id: UUID | str, *, acting_user: User, because: str) -> Instance:
    """Neither its lifetime nor idleness ends it, and stopped it is not deleted, until somebody takes the pin away."""
    actor, because = acting_user.as_actor(), " ".join(because.split())
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.PIN, lock=True)
        if problem := reason_problem(because):
            raise Invalid(problem)
        if instance.state == State.DELETING:
            raise Conflict("It is being deleted.")
        _change(instance, actor, f"Kept from ending: {because}", pinned=because, warnings={})
        audit.record("instance.pin", f"instance:{instance.pk}", actor=actor, because=because)
    return instance


def unpin(instance_id: UUID | str, *, acting_user: User, because: str) -> Instance:
    """Time counts again, from the ends that it had; its owner is warned before any of them."""
    actor, because = acting_user.as_actor(), " ".join(because.split())
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.PIN, lock=True)
        if problem := reason_problem(because):
            raise Invalid(problem)
        if not instance.pinned:
            raise Conflict("Nobody keeps it from ending.")
        _change(instance, actor, f"No longer kept from ending: {because}", pinned="", warnings={})
        audit.record("instance.unpin", f"instance:{instance.pk}", actor=actor, because=because)
    return instance


def _problem(instance: Instance, until: datetime, now: datetime) -> str:
    if until <= now:
        return "Choose a time to come."
    if instance.pinned:
        return ""
    if instance.expires and until > instance.expires:
        return f"Its lifetime ends on {instance.expires:%-d %B %Y at %H:%M} UTC. Extend it first."
    if until > now + LONGEST:
        return f"Choose a day within {LONGEST.days} days."
    return ""


def _change(instance: Instance, actor: Actor, message: str, **fields: Any) -> None:
    fields["review_at"] = timezone.now()
    Instance.objects.filter(pk=instance.pk).update(**fields)
    for name, value in fields.items():
        setattr(instance, name, value)
    told(instance, message, actor=actor)
