"""An owner's answer to somebody who asked to be let in."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from auth.models import User
from instances.errors import Conflict, Invalid, NotFound
from instances.models import AccessRequest
from instances.models.access_request import Answer
from instances.policy import Action

from . import requests
from .visibility import find

ANSWERS = (Answer.WATCH, Answer.CONTROL, Answer.NO)
MINUTES = (30, 120, 480)
"""For which somebody may be let in who is not of the team."""


def answer(request_id: int, *, acting_user: User, answer: str, minutes: int = MINUTES[0]) -> AccessRequest:
    """Only the owner answers, and once. Whoever is of the team keeps the end that their membership has.

    Invalid names the field; NotFound for a request that one may not know of.
    """
    actor = acting_user.as_actor()
    wrong: dict[str, str] = {}
    if answer not in ANSWERS:
        wrong["answer"] = "Let them watch, let them work in it, or say no."
    if minutes not in MINUTES:
        wrong["minutes"] = f"Choose {', '.join(str(some) for some in MINUTES[:-1])} or {MINUTES[-1]} minutes."
    if wrong:
        raise Invalid(wrong)
    with transaction.atomic():
        known = AccessRequest.objects.filter(pk=request_id).values_list("instance", flat=True).first()
        if known is None:
            raise NotFound("There is no such request.")
        find(known, actor=actor, action=Action.APPROVE, lock=True)
        row = requests.open_requests().filter(pk=request_id).first()
        if row is None:
            raise Conflict("It has been answered, or withdrawn, already.")
        until = timezone.now() + timedelta(minutes=minutes)
        requests.close(row, Answer(answer), actor=actor, by=acting_user, until=until)
    return row
