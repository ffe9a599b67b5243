"""Invitations that work once: making one, ending it, and coming in with it."""

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from auth import audit
from auth.digests import digest_of
from auth.models import User
from instances.errors import Conflict, Invalid, NotFound
from instances.models import Instance, Invitation, Member
from instances.policy import Action
from instances.states import State

from . import members, presence, requests, transitions
from .share import MOST
from .visibility import find

OPEN_AT_ONCE = 10
LONGEST_OUTSIDE = timedelta(days=30)
NOT_VALID = "This invitation is not valid: it was used, it was taken back, or it is too old. Ask for another one."
TEAM_ONLY = "It is for people of the teams of its experiments, and you are in none of them. Ask its owner."


def open_ones(instance: Instance) -> QuerySet[Invitation]:
    return instance.invitations.filter(used=None, ended=None, expires__gt=timezone.now())


def invite(
    instance_id: UUID | str, *, acting_user: User, role: str, until: datetime | None = None, outside: bool = False
) -> tuple[Invitation, str]:
    """An invitation and its code, which is told now and never again. Valid for a week, once.

    `outside`: for anybody, not only for people of the experiments' teams; the owner knows that they see the owner's
    data. A facility may refuse that (VISA_SHARE_OUTSIDE). Invalid names the field.
    """
    actor = acting_user.as_actor()
    now = timezone.now()
    wrong: dict[str, str] = {}
    if role not in Member.Role.values:
        wrong["role"] = "They may watch, or watch and work in it."
    if until is not None and until <= now:
        wrong["until"] = "Choose a day that is not over."
    if outside and settings.SHARE_OUTSIDE != "confirm":
        wrong["outside"] = "This facility lets in only people of the experiments’ teams."
    elif outside and (until is None or until > now + LONGEST_OUTSIDE):
        wrong["until"] = f"For anybody from outside, choose a day within {LONGEST_OUTSIDE.days} days."
    if wrong:
        raise Invalid(wrong)
    code = secrets.token_urlsafe(24)
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SHARE, lock=True)
        if open_ones(instance).count() >= OPEN_AT_ONCE:
            raise Conflict(f"There are {OPEN_AT_ONCE} open invitations. Take one back first.")
        made = Invitation.objects.create(
            digest=digest_of(code), instance=instance, role=role, until=until, outside=outside, made_by=acting_user
        )
        detail = {"invitation": str(made.pk), "role": role, "outside": outside}
        detail |= {"until": until.isoformat() if until else None}
        audit.record("invitation.make", f"instance:{instance.pk}", actor=actor, detail=detail)
    return made, code


def take_back(invitation_id: UUID, *, acting_user: User) -> Instance:
    """NotFound for what is not open, or not one's own to end. Who came in with it stays, as any other member."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        row = Invitation.objects.filter(pk=invitation_id).values_list("instance", flat=True).first()
        if row is None:
            raise NotFound("There is no such invitation.")
        instance = find(row, actor=actor, action=Action.SHARE, lock=True)
        if not open_ones(instance).filter(pk=invitation_id).update(ended=timezone.now()):
            raise NotFound("There is no such invitation, or it has been used.")
        audit.record(
            "invitation.end", f"instance:{instance.pk}", actor=actor, detail={"invitation": str(invitation_id)}
        )
    return instance


def come_in(code: str, *, acting_user: User) -> Member:
    """Become a member by an invitation, which is used up. Conflict says why not; then it stays as it was."""
    actor, person = acting_user.as_actor(), acting_user.person
    with transaction.atomic():
        found = Invitation.objects.select_for_update(of=("self",)).select_related("instance__owner")
        row = found.filter(digest=digest_of(code.strip())).first()
        if row is None or not actor.active or not open_ones(row.instance).filter(pk=row.pk).exists():
            raise Conflict(NOT_VALID)
        instance = row.instance
        if instance.owner_id in actor.accounts:
            raise Conflict("It is your own instance: you need no invitation.")
        if instance.state == State.DELETED or (row.until and row.until <= timezone.now()):
            raise Conflict(NOT_VALID)
        of_team = members.team_of(instance).filter(pk=person.pk).exists()
        if not of_team and not (row.outside and settings.SHARE_OUTSIDE == "confirm"):
            raise Conflict(TEAM_ONLY)
        if instance.members.filter(user=person).exists():
            raise Conflict("It is shared with you already.")
        if instance.members.count() >= MOST:
            raise Conflict(f"An instance is shared with at most {MOST} people.")
        basis = Member.Basis.TEAM if of_team else Member.Basis.INVITED
        fields = {"role": row.role, "until": row.until, "added_by": row.made_by, "basis": basis}
        member = Member.objects.create(instance=instance, user=person, **fields)
        row.used, row.used_by = timezone.now(), person
        row.save(update_fields=["used", "used_by"])
        presence.set_mode(member, instance)
        because = f"{person.name} came in with an invitation: {Member.Role(row.role).label.lower()}"
        members.changed(instance, person, because=because)
        transitions.told(instance, because, actor=actor)
        detail = {"invitation": str(row.pk), "user": person.pk, "role": row.role, "basis": basis}
        detail |= {"outside": requests.outside(instance, person)}
        audit.record("invitation.use", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)
    return member
