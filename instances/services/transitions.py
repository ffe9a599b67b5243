"""The one way in which an instance's state changes."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from auth import audit, bus
from auth.access import Actor
from instances.errors import IllegalTransition, StaleInstance
from instances.models import Instance, InstanceEvent
from instances.states import TRANSITIONS, Desired, Progress, State

from .mail import Kind, notify
from .wake import wake_line

FREEING = (State.STOPPED, State.FAILED, State.DELETED)
"""There may be room now for somebody in line."""


def advance(
    instance: Instance, to: State, *, actor: Actor | None, reason: str, action: str = "", **fields: Any
) -> None:
    """Move to `to` and set `fields`, recording who and why; a race's loser gets StaleInstance.

    `action` names it in the audit trail when somebody asked for it; otherwise it is the portal's own doing.
    """
    before, wished = State(instance.state), Desired(instance.desired)
    if to not in TRANSITIONS[before]:
        raise IllegalTransition(f"It is {before.value}: it cannot become {to.value} now.")
    fields |= {"state": to, "state_since": timezone.now(), "message": reason}
    with transaction.atomic():
        mine = Instance.objects.filter(pk=instance.pk, state=before, desired=instance.desired, lease=instance.lease)
        if not mine.update(**fields):
            raise StaleInstance("Somebody or something else changed it at the same moment.")
        for name, value in fields.items():
            setattr(instance, name, value)
        InstanceEvent.objects.create(
            instance=instance,
            generation=instance.generation,
            before=before,
            after=to,
            message=reason,
            actor_id=actor.user_id if actor else None,
        )
        tell(instance)
        tell_owner(instance, wished, actor=actor, reason=reason)
        if to in FREEING:
            transaction.on_commit(wake_line)
        audit.record(
            action or f"instance.{to.value}",
            f"instance:{instance.pk}",
            actor=actor,
            because=reason,
            detail={"before": before, "after": to},
        )


def progress(instance: Instance, step: Progress, message: str) -> None:
    """One step of a launch began: shown on the progress page at once."""
    with transaction.atomic():
        InstanceEvent.objects.create(instance=instance, generation=instance.generation, step=step, message=message)
        tell(instance)


def tell_owner(instance: Instance, wished: Desired, *, actor: Actor | None, reason: str) -> None:
    """Mail them what they did not do themselves: that it failed, or that it is not to run any more (`wished`: what
    was wanted until now).
    """
    if actor and instance.owner_id in actor.accounts:
        return
    stops = {Desired.STOPPED: Kind.STOPPED, Desired.DELETED: Kind.DELETED}
    if instance.state == State.FAILED:
        kind = Kind.FAILED
    elif instance.desired != wished and instance.desired in stops:
        kind = stops[Desired(instance.desired)]
    elif instance.state == State.STOPPED and wished == Desired.RUNNING:
        kind = Kind.STOPPED
    else:
        return
    facts = {"by": actor.name} if actor else {"reason": reason}
    key = f"{kind}:{instance.pk}:{instance.generation}"
    notify(instance.owner, kind, key=key, instance=instance, **facts)


def tell(instance: Instance) -> None:
    """Pages that show the instance look again, on commit."""
    bus.announce("instance", instance=str(instance.pk), owner=instance.owner_id, state=instance.state)
