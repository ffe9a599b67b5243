"""Deleting: the instance goes, its owner's home and the experiments' data stay."""

from typing import Any
from uuid import UUID

from django.db import transaction

from auth import bus
from auth.access import Actor
from auth.models import User
from instances.models import Instance
from instances.policy import Action
from instances.states import Desired, State

from . import queue, transitions
from .visibility import find
from .wake import wake

NEVER_PLACED = "It never had a place: there is nothing of it in any cloud."


def delete(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """Ask for it to be deleted; it is DELETED once its cloud confirms that it is gone, or at once where it had none."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.DELETE, lock=True)
        if instance.desired != Desired.DELETED:
            remove(instance, actor=actor, reason=f"Deleted by {actor.name}", action="instance.delete")
    return instance


def remove(instance: Instance, *, actor: Actor | None, reason: str, action: str, **fields: Any) -> None:
    """Within the caller's transaction; `actor` None: the portal itself, by its rules."""
    waited = instance.waiting_since
    bus.announce("close", instance=str(instance.pk), reason="The instance was deleted.")
    fields |= {"desired": Desired.DELETED, "waiting_since": None}
    transitions.advance(instance, State.DELETING, actor=actor, reason=reason, action=action, **fields)
    if waited:
        queue.moved()
    if instance.cloud_id:
        wake(instance.pk)
    else:
        transitions.advance(instance, State.DELETED, actor=None, reason=NEVER_PLACED)
