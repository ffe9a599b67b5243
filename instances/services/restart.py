"""Ending what runs and starting it anew: the way out of a hung desktop, and into changed data grants."""

from uuid import UUID

from django.db import transaction

from auth.models import User
from instances.errors import Conflict
from instances.models import Instance
from instances.policy import Action
from instances.states import State

from .start import again
from .visibility import find


def restart(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """Conflict unless it is ready."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.START, lock=True)
        if instance.state != State.READY:
            raise Conflict(f"It is {State(instance.state).value}: only a running instance can be restarted.")
        again(instance, actor=actor, to=State.RESTARTING, action="instance.restart", reason="Restarted by its owner")
    return instance
