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
from instances.states import Desired, State

from . import grants as data
from . import queue, quotas, transitions
from .launch import queued
from .lifetimes import alive
from .visibility import find


def start(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """Run it again, with the data that its owner is entitled to now, as soon as there is room where it is.

    Conflict unless it is stopped or failed; Invalid where a quota leaves no room.
    """
    actor = acting_user.as_actor()
    with transaction.atomic():
        quotas.lock()
        instance = find(instance_id, actor=actor, action=Action.START, lock=True)
        if instance.state not in (State.STOPPED, State.FAILED):
            raise Conflict(f"It is {State(instance.state).value}: only a stopped instance can be started.")
        experiments = list(instance.experiments.select_related("proposal", "instrument"))
        quotas.check(actor, instance.flavour, experiments, again=instance)
        more_time = alive(actor, instance)
        cloud = queue.find_place(instance.flavour, instance.environment, home=instance.cloud)
        again(
            instance,
            actor=actor,
            to=State.QUEUED,
            action="instance.start",
            reason="Started by its owner",
            **more_time,
            cloud=cloud or instance.cloud,
            waiting_since=None if cloud else timezone.now(),
        )
    return instance


def again(instance: Instance, *, actor: Actor, to: State, action: str, reason: str, **fields: Any) -> None:
    """A new generation, with grants derived anew and `fields` set; a lost entitlement to all of the data refuses it."""
    entitlements = data.entitlements(instance, at=timezone.now())
    refusals = tuple(entitled.because for entitled in entitlements.values() if not entitled)
    if entitlements and len(refusals) == len(entitlements):
        raise Denied(may_launch(actor, takes_part=False, refusals=refusals))
    instance.generation += 1
    instance.waiting_since = fields.get("waiting_since")
    queued(instance)
    transitions.advance(
        instance,
        to,
        actor=actor,
        reason=reason,
        action=action,
        desired=Desired.RUNNING,
        generation=instance.generation,
        **data.columns(data.granted_by(entitlements)),
        failures=0,
        **fields,
    )
