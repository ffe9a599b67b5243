"""Whether an owner is there, and what that leaves to those whom they let in."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from auth import audit, bus, rights
from auth.access import Actor
from auth.models import User
from instances.errors import Invalid
from instances.models import Connection, Instance, Member
from instances.models.connection import App, Mode
from instances.models.instance import Alone
from instances.policy import Action

from .visibility import find

GRACE = timedelta(seconds=30)
"""A connection that comes back within it was never away."""
IN_USE = timedelta(minutes=5)
"""A web app is a cookie: its owner is there for as long after the last traffic."""
NOBODY = "Its owner is not there, and wants nobody in it then."
WATCHING_ONLY = "Its owner is not there: you may watch until they are."
BATCH = 50


def owner_is_there(instance: Instance) -> bool:
    """Through whichever of their identities, now or just before."""
    now = timezone.now()
    account = instance.owner.linked_to_id or instance.owner_id
    own = Q(user=account) | Q(user__linked_to=account)
    open_now = Q(closed=None) & (Q(app=App.DESKTOP) | Q(heartbeat__gt=now - IN_USE))
    return instance.connections.filter(own, open_now | Q(closed__gt=now - GRACE)).exists()


def bounded(instance: Instance, actor: Actor, mode: str) -> Mode | None:
    """What is left of `mode` as long as the owner is not there; None: nobody else is in it then."""
    if instance.alone == Alone.ALLOWED or instance.owner_id in actor.accounts or owner_is_there(instance):
        return Mode(mode)
    return Mode.WATCH if instance.alone == Alone.WATCH else None


def set_alone(instance_id: UUID | str, *, acting_user: User, alone: str) -> Instance:
    """What those who were let in may do while the owner is not there; Invalid names the field."""
    if alone not in Alone.values:
        raise Invalid({"alone": "They may work in it, only watch, or not be in it."})
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SHARE, lock=True)
        before = instance.alone
        if alone != before:
            instance.alone = alone
            instance.save(update_fields=["alone"])
            apply(instance)
            detail = {"before": before, "after": alone}
            audit.record("instance.alone", f"instance:{instance.pk}", actor=actor, detail=detail)
    return instance


def apply(instance: Instance) -> None:
    """Bring the open connections of those who were let in to what they may do now; within a transaction."""
    changed = set()
    for member in instance.members.select_related("user"):
        if set_mode(member, instance):
            changed.add(member.user_id)
    if changed:
        for users in rights.batched(sorted(rights.with_their_other_accounts(changed)), rights.AT_ONCE):
            bus.announce("rights", users=users)
        bus.announce("people", instance=str(instance.pk))


def set_mode(member: Member, instance: Instance) -> bool:
    """Of the connections that they hold now: brokers hear of it and change them as they go on. Whether any changed."""
    accounts = rights.with_their_other_accounts({member.user_id})
    held = Connection.objects.filter(instance=instance, user__in=accounts, closed=None)
    mode = bounded(instance, member.user.as_actor(), Member.Role(member.role).mode)
    over = held if mode is None else held.exclude(app=App.DESKTOP) if mode == Mode.WATCH else held.none()
    ended = [str(seat) for seat in over.values_list("pk", flat=True)]
    for seat in ended:
        bus.announce("close", connection=seat, reason=NOBODY if mode is None else WATCHING_ONLY)
    set_now = held.filter(app=App.DESKTOP).exclude(mode=mode).update(mode=mode) if mode else 0
    return bool(ended or set_now)


def look() -> int:
    """Of instances whose owners have left, or come back: how many had somebody in them. For any number of workers."""
    others = Connection.objects.filter(closed=None).exclude(instance__alone=Alone.ALLOWED)
    wanted = Instance.objects.filter(pk__in=others.values("instance")).exclude(alone=Alone.ALLOWED)
    keys = list(wanted.values_list("pk", flat=True)[:BATCH])
    for key in keys:
        with transaction.atomic():
            rows = Instance.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
            for row in rows.select_related("owner").filter(pk=key):
                apply(row)
    return len(keys)
