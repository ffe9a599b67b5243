"""Ending what somebody was let into: by its owner, or by whoever leaves."""

from uuid import UUID

from django.db import transaction

from auth.models import User
from instances.errors import NotFound
from instances.policy import Action

from . import members, transitions
from .visibility import find


def unshare(instance_id: UUID | str, *, acting_user: User, user: int) -> None:
    """The account `user` is out at once, in every broker. Only the owner ends this for others; members may leave."""
    actor = acting_user.as_actor()
    leaving = user in actor.accounts
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SEE if leaving else Action.SHARE, lock=True)
        member = instance.members.select_related("user", "instance__owner").filter(user=user).first()
        if member is None:
            raise NotFound("It is not shared with them.")
        name = member.user.name
        because = f"{name} left it" if leaving else f"{actor.name} does not share it with {name} any longer"
        reason = "You left it." if leaving else "Its owner does not share it with you any longer."
        transitions.told(instance, because, actor=actor)
        members.let_go(member, actor=actor, because=because, reason=reason)
