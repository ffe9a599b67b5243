"""Letting somebody of the team into an instance, or changing what they may do in it."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.models import User
from instances.errors import Invalid
from instances.models import Member
from instances.policy import Action

from . import members, presence, transitions
from .mail import Kind, notify
from .visibility import find

NOT_OF_THE_TEAM = "Only people of the teams of its experiments can be let in."
MOST = 50
"""Members of one instance."""


def share(instance_id: UUID | str, *, acting_user: User, user: int, role: str, until: datetime | None = None) -> Member:
    """Let the account `user` in, or change their role and their end; who sits in the desktop goes on as they may now.

    Sharing shows the owner's data: only the owner may, and only with the teams of its experiments. Invalid names the
    field.
    """
    actor = acting_user.as_actor()
    wrong: dict[str, str] = {}
    if role not in Member.Role.values:
        wrong["role"] = "They may watch, or watch and work in it."
    if until is not None and until <= timezone.now():
        wrong["until"] = "Choose a day that is not over."
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SHARE, lock=True)
        person = members.team_of(instance).filter(pk=user).first()
        if person is None:
            wrong["user"] = NOT_OF_THE_TEAM
        elif not instance.members.filter(user=person).exists() and instance.members.count() >= MOST:
            wrong["user"] = f"An instance is shared with at most {MOST} people."
        if wrong or person is None:
            raise Invalid(wrong)
        before = instance.members.filter(user=person).first()
        fields = {"role": role, "until": until, "added_by": acting_user}
        member, new = Member.objects.update_or_create(instance=instance, user=person, defaults=fields)
        presence.set_mode(member, instance)
        what = Member.Role(role).label.lower()
        because = f"{actor.name} shared it with {person.name}: {what}"
        members.changed(instance, person, because=because)
        transitions.told(instance, because, actor=actor)
        if new:
            notify(
                person, Kind.SHARED, key=f"shared:{member.pk}", instance=instance, by=actor.name, role=role, until=until
            )
        detail = {"user": person.pk, "role": role, "until": until.isoformat() if until else None}
        if before:
            detail["before"] = before.role
        audit.record("instance.share", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)
    return member
