"""The one way in which an instance's state changes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
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
    instance: Instance,
    to: State,
    *,
    actor: Actor | None,
    reason: str,
    action: str = "",
    step: tuple[Progress, str] | None = None,
    **fields: Any,
) -> None:
    """Move to `to` and set `fields`, recording who and why; a race's loser gets StaleInstance.

    `action` names it in the audit trail when somebody asked for it; otherwise it is the portal's own doing. `step`: the
    step of a launch that begins with it, and one line for whoever waits.
    """
    before, wished = State(instance.state), Desired(instance.desired)
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
        shared = {"instance": instance, "generation": instance.generation, "at": fields["state_since"]}
        events = [InstanceEvent(**shared, step=step[0], message=step[1])] if step else []
        who = actor.user_id if actor else None
        events.append(InstanceEvent(**shared, before=before, after=to, message=reason, actor_id=who))
        InstanceEvent.objects.bulk_create(events)
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


def advance_many(
    keys: Sequence[UUID], *, before: State, desired: Desired, to: State, reason: str, ready: bool = False, **fields: Any
) -> list[UUID]:
    """Move those of `keys` that are as they were and that no worker holds; the portal's own doing. Returns them.

    `ready`: the launch ends here, and its progress page says so.
    """
    if to not in TRANSITIONS[before]:
        raise IllegalTransition(f"{before} -> {to}")
    now = timezone.now()
    with transaction.atomic():
        free = Instance.objects.filter(Q(lease=None) | Q(lease_until__lt=now), state=before, desired=desired)
        rows = list(
            free.filter(pk__in=keys)
            .select_for_update(skip_locked=True)
            .order_by("pk")
            .values_list("pk", "owner_id", "generation")
        )
        moved = [pk for pk, _, _ in rows]
        if not moved:
            return []
        Instance.objects.filter(pk__in=moved).update(**fields, state=to, state_since=now, message=reason, review_at=now)
        events = []
        for pk, _, generation in rows:
            if ready:
                step = {"step": Progress.READY, "message": "All set"}
                events.append(InstanceEvent(instance_id=pk, generation=generation, at=now, **step))
            change = {"before": before, "after": to, "message": reason}
            events.append(InstanceEvent(instance_id=pk, generation=generation, at=now, **change))
        InstanceEvent.objects.bulk_create(events)
        bus.announce_many(
            {"topic": "instance", "instance": str(pk), "owner": owner, "state": to} for pk, owner, _ in rows
        )
        targets = [f"instance:{pk}" for pk in moved]
        detail = {"before": before, "after": to}
        audit.record_many(f"instance.{to.value}", targets, actor=None, because=reason, detail=detail)
    return moved


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
