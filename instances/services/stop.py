"""Stopping: what runs ends, the home and the data stay."""

from typing import Any
from uuid import UUID

from django.db import transaction

from auth.access import Actor
from auth.models import User
from instances.errors import Conflict
from instances.models import Instance
from instances.policy import Action
from instances.states import Desired, State

from . import queue, transitions
from .visibility import find
from .wake import wake


def stop(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """Ask for it to stop; stopping it twice is no error. What waits in line leaves it, and is stopped at once."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.STOP, lock=True)
        if instance.state == State.FAILED:
            raise Conflict("It failed and does not run. Start it again or delete it.")
        if instance.desired == Desired.RUNNING:
            reason = f"{actor.name} left the line" if instance.waiting_since else f"Stopped by {actor.name}"
            end(instance, actor=actor, reason=reason, action="instance.stop")
    return instance


def end(instance: Instance, *, actor: Actor | None, reason: str, action: str, **fields: Any) -> None:
    """Within the caller's transaction; `actor` None: the portal itself, by its rules."""
    if instance.waiting_since:
        queue.step_out(instance, actor=actor, reason=reason, action=action, **fields)
        return
    transitions.advance(
        instance, State.STOPPING, actor=actor, reason=reason, action=action, desired=Desired.STOPPED, **fields
    )
    wake(instance.pk)
