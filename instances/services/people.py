"""Blocking people, and letting them in again."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from auth import audit, bus, rights, sessions
from auth.access import Actor, deny
from auth.models import Login, User
from instances.errors import Conflict, Denied, Invalid

from .roles import administrators, as_administrator, lock_administrators, reason_problem

REASON = "Your account has been blocked."


def block_person(*, acting_user: User, person: User, because: str) -> User:
    """They are out at once, through every identity: sessions end, tokens and live connections with them.

    What is theirs stays. Denied to all but administrators and for oneself; Conflict for the last administrator.
    """
    with transaction.atomic():
        actor, accounts, because = _about(acting_user, person, because)
        if actor.accounts & accounts:
            raise Denied(deny("Nobody blocks themselves. Ask another administrator."))
        lock_administrators()
        if not administrators(timezone.now(), apart_from=Q(user__in=accounts)):
            raise Conflict("They are the only administrator. Make somebody else administrator first.")
        if not User.objects.filter(pk__in=accounts, is_active=True).update(is_active=False):
            raise Conflict(f"{person.name} is blocked already.")
        ended = _end_sessions(accounts)
        rights.announce(users=accounts, because="your account has been blocked")
        audit.record(
            "person.block", f"user:{person.pk}", actor=actor, because=because, detail=_detail(accounts, sessions=ended)
        )
    person.is_active = False
    return person


def unblock_person(*, acting_user: User, person: User, because: str) -> User:
    """They may sign in again, with what they have a right to now."""
    with transaction.atomic():
        actor, accounts, because = _about(acting_user, person, because)
        if not User.objects.filter(pk__in=accounts, is_active=False).update(is_active=True):
            raise Conflict(f"{person.name} is not blocked.")
        rights.announce(users=accounts, because="your account is no longer blocked")
        audit.record("person.unblock", f"user:{person.pk}", actor=actor, because=because, detail=_detail(accounts))
    person.is_active = True
    return person


def _about(acting_user: User, person: User, because: str) -> tuple[Actor, frozenset[int], str]:
    actor = as_administrator(acting_user)
    because = " ".join(because.split())
    if problem := reason_problem(because):
        raise Invalid(problem)
    accounts = person.as_actor().accounts
    list(User.objects.select_for_update(no_key=True).filter(pk__in=accounts).order_by("pk").values_list("pk"))
    return actor, accounts, because


def _end_sessions(accounts: frozenset[int]) -> int:
    """Sessions whose login is not known are worthless from now on too: nobody who is blocked is anybody's session."""
    ended = sessions.end(Login.objects.filter(Q(user__in=accounts) | Q(identity__in=accounts)), reason=REASON)
    for account in sorted(accounts):
        bus.announce("close", user=account, reason=REASON)
    return ended


def _detail(accounts: frozenset[int], **more: object) -> dict[str, object]:
    return {"accounts": sorted(accounts)} | more
