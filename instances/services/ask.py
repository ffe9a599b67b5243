"""Asking an owner to be let in, or for control; and no longer asking."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import User
from instances.errors import Conflict, Invalid, NotFound
from instances.models import AccessRequest, Instance
from instances.models.access_request import Answer
from instances.models.connection import Mode
from instances.policy import Action, capacity_of, may

from . import presence, requests
from .mail import Kind, notify
from .visibility import facts, find

SHORTEST, LONGEST = 5, 300
MOST = 5
"""Requests of one person for one instance in an hour: an owner who says no is not to be worn down."""


def ask(instance_id: UUID | str, *, acting_user: User, reason: str, wish: str = Mode.WATCH) -> AccessRequest:
    """Put the request before its owner. Where they are away, a mail is sent, and the facility's rule may answer.

    Invalid names the field; Conflict says why it makes no sense now.
    """
    actor = acting_user.as_actor()
    reason = " ".join(reason.split())
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.ASK, lock=True)
        capacity = capacity_of(actor, facts(instance))
        assert capacity, "whoever may ask has one"
        person = acting_user.person
        _check(instance, actor, person, reason, wish)
        made = AccessRequest.objects.create(instance=instance, user=person, capacity=capacity, wish=wish, reason=reason)
        requests.told(instance, [person.pk])
        if not presence.owner_is_there(instance) and not requests.by_rule(made):
            notify(
                instance.owner.person,
                Kind.ACCESS_ASKED,
                key=f"access-asked:{made.pk}",
                instance=instance,
                by=person.name,
                capacity=capacity.label,
                reason=reason,
            )
        detail = {"request": made.pk, "capacity": capacity, "wish": wish, "outside": requests.outside(instance, person)}
        audit.record("access.ask", f"instance:{instance.pk}", actor=actor, because=reason, detail=detail)
    return made


def withdraw(request_id: int, *, acting_user: User) -> AccessRequest:
    """NotFound for what is not one's own open request."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        mine = requests.open_requests().filter(pk=request_id, user__in=actor.accounts).first()
        if mine is None:
            raise NotFound("There is no such request, or it has been answered.")
        requests.close(mine, Answer.WITHDRAWN, actor=actor, by=acting_user)
    return mine


def _check(instance: Instance, actor: Actor, person: User, reason: str, wish: str) -> None:
    wrong: dict[str, str] = {}
    if not SHORTEST <= len(reason) <= LONGEST:
        wrong["reason"] = f"Say in {SHORTEST} to {LONGEST} characters why: its owner reads it."
    if wish not in Mode.values:
        wrong["wish"] = "Ask to watch, or to work in it."
    if wrong:
        raise Invalid(wrong)
    if not instance.is_open:
        raise Conflict("It does not run now: there is nothing to see.")
    if may(actor, Action.CONTROL if wish == Mode.CONTROL else Action.WATCH, facts(instance)):
        raise Conflict("You may do that already.")
    own = instance.requests.filter(user=person)
    if own.filter(answered=None).exists():
        raise Conflict("You have asked already. Its owner has not answered yet.")
    if own.filter(asked__gt=timezone.now() - timedelta(hours=1)).count() >= MOST:
        raise Conflict("You have asked several times within an hour. Try again later, or call.")
