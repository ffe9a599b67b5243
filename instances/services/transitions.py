"""The one way in which an instance's state changes."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from auth import audit, bus
from auth.access import Actor
from instances.errors import IllegalTransition, StaleInstance
from instances.models import Instance, InstanceEvent
from instances.states import TRANSITIONS, Progress, State


def advance(
    instance: Instance, to: State, *, actor: Actor | None, reason: str, action: str = "", **fields: Any
) -> None:
    """Move to `to` and set `fields`, recording who and why; a race's loser gets StaleInstance.

    `action` names it in the audit trail when somebody asked for it; otherwise it is the portal's own doing.
    """
    before = State(instance.state)
    if to not in TRANSITIONS[before]:
        raise IllegalTransition(f"It is {before.value}: it cannot become {to.value} now.")
    now = timezone.now()
    fields |= {"state": to, "state_since": now, "message": reason, "review_at": now}
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


def told(instance: Instance, message: str, *, actor: Actor | None = None) -> None:
    """A line in its timeline, and pages that show it look again."""
    InstanceEvent.objects.create(
        instance=instance,
        generation=instance.generation,
        message=message,
        actor_id=actor.user_id if actor else None,
    )
    tell(instance)


def tell(instance: Instance) -> None:
    """Pages that show the instance look again, on commit."""
    bus.announce("instance", instance=str(instance.pk), owner=instance.owner_id, state=instance.state)
