"""Starting an instance that stopped or failed."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth.access import Actor
from auth.models import User
from instances.errors import Conflict, Denied
from instances.models import Instance
from instances.policy import Action, may_launch
from instances.states import Desired, Progress, State

from . import grants as data
from . import transitions
from .launch import reserve
from .lifetimes import alive
from .visibility import find
from .wake import wake


def start(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """Run it again, with the data that its owner is entitled to now. Conflict unless it is stopped or failed."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.START, lock=True)
        if instance.state not in (State.STOPPED, State.FAILED):
            raise Conflict(f"It is {State(instance.state).value}: only a stopped instance can be started.")
        reserve(instance.flavour, instance.environment)
        reason, more_time = "Started by its owner", alive(actor, instance)
        again(instance, actor=actor, to=State.QUEUED, action="instance.start", reason=reason, **more_time)
    return instance


def again(instance: Instance, *, actor: Actor, to: State, action: str, reason: str, **fields: Any) -> None:
    """A new generation, with grants derived anew; a lost entitlement to all of the data refuses it."""
    entitlements = data.entitlements(instance, at=timezone.now())
    refusals = tuple(entitled.because for entitled in entitlements.values() if not entitled)
    if entitlements and len(refusals) == len(entitlements):
        raise Denied(may_launch(actor, takes_part=False, refusals=refusals))
    instance.generation += 1
    transitions.progress(instance, Progress.QUEUED, "Waiting for a worker")
    transitions.advance(
        instance,
        to,
        actor=actor,
        reason=reason,
        action=action,
        desired=Desired.RUNNING,
        generation=instance.generation,
        **data.columns(data.granted_by(entitlements)),
        **fields,
        failures=0,
    )
    wake(instance.pk)
