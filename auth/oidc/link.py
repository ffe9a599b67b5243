"""Several identities of one person: linked only after a login of each, and unlinked without losing anything.

A row's `linked_to` is all that changes. What came with an identity (parts, roles, instances) stays with its row and
counts for the person while it is linked.
"""

import time
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from auth import audit, rights, sessions
from auth.models import Login, User

from . import requirements, roles
from .accounts import account_for
from .claims import Identity
from .client import LEEWAY, Pending
from .confirm import whose
from .errors import HasIdentities, LinkBlocked, LinkedElsewhere, LinkRefused, NotAfresh, NotProven, SameIdentity
from .requirements import Requirements

KEPT = "link"
ANSWER_WITHIN = 600
"""Seconds between the proof of the second identity and the word that it is to be linked."""


def propose(request: HttpRequest, identity: Identity, pending: Pending) -> None:
    """Keep in the session that `identity` was proven here; nothing is linked before the person says so.

    Raises Stale, what requirements raise, NotAfresh, or a LinkRefused.
    """
    user = whose(request, pending)
    # The other conditions are about signing in, and are checked when somebody signs in with it.
    Requirements(refused=requirements.configured().refused).check(identity)
    if identity.auth_time is not None and identity.auth_time < pending.begun - LEEWAY:
        raise NotAfresh(f"the login is {int(pending.begun - identity.auth_time)} s older than the question")
    check(user, User.objects.filter(iss=identity.iss, sub=identity.sub).first(), iss=identity.iss, sub=identity.sub)
    request.session[KEPT] = {"at": time.time(), "by": user.pk, "identity": asdict(identity)}


def proposed(request: HttpRequest) -> Identity:
    """The identity that was proven in this session a moment ago; NotProven when there is none."""
    kept: dict[str, Any] | None = request.session.get(KEPT)
    user = request.user
    if not kept or not isinstance(user, User) or kept["by"] != user.pk:
        raise NotProven("no second identity was proven in this session")
    if not 0 <= time.time() - kept["at"] <= ANSWER_WITHIN:
        raise NotProven("the proof of the second identity is too old")
    lists = {name: tuple(value) for name, value in kept["identity"].items() if isinstance(value, list)}
    return Identity(**kept["identity"] | lists)


def check(user: User, other: User | None, *, iss: str, sub: str) -> None:
    """A LinkRefused when `other`, the row of (iss, sub) if there is one, cannot be linked to `user`'s account."""
    person = user.person
    if other and other.person == person:
        raise SameIdentity(f"user {other.pk} is theirs already", user=person)
    if User.objects.filter(Q(pk=person.pk) | Q(linked_to=person), is_active=False).exists():
        raise LinkBlocked(f"user {person.pk} is blocked", user=person)
    if other is None:
        return
    if other.linked_to_id is not None:
        raise LinkedElsewhere(f"user {other.pk} is linked to user {other.linked_to_id}", user=person)
    if not other.is_active:
        raise LinkBlocked(f"user {other.pk} is blocked", user=person)
    if other.others.exists():
        raise HasIdentities(f"user {other.pk} has identities linked to it", user=person)


def link(*, acting_user: User, identity: Identity) -> User:
    """Link a proven identity to the account of `acting_user`; its row. LinkRefused says why not.

    Sessions that began with it as an account of its own end: the next one opens the account it is linked to.
    """
    with transaction.atomic():
        found, _ = account_for(identity)
        # In the order of their keys, so that two linkings at once wait for each other instead of for ever.
        keys = sorted({found.pk, acting_user.person.pk})
        locked = {row.pk: row for row in User.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk")}
        person, other = locked[acting_user.person.pk], locked[found.pk]
        if person.linked_to_id is not None:
            raise LinkRefused(f"user {person.pk} was linked to another account meanwhile", user=person)
        check(person, other, iss=identity.iss, sub=identity.sub)
        other.linked_to, other.linked_at, other.proven_at = person, timezone.now(), timezone.now()
        other.save(update_fields=["linked_to", "linked_at", "proven_at"])
        roles.apply(other, identity)
        ended = sessions.end(Login.objects.filter(identity=other), reason="this identity was linked to another account")
        rights.announce(users={person.pk, other.pk}, because="an identity was linked to your account")
        _record("identity.link", person, other, acting_user, ended)
    return other


def unlink(*, acting_user: User, identity_id: int) -> User:
    """Make a linked identity an account of its own again, with what came with it; its row. User.DoesNotExist if it is
    none of theirs. Sessions that began with it end."""
    with transaction.atomic():
        person = acting_user.person
        other = User.objects.select_for_update(no_key=True).get(pk=identity_id, linked_to=person)
        other.linked_to, other.linked_at = None, None
        other.save(update_fields=["linked_to", "linked_at"])
        ended = sessions.end(Login.objects.filter(identity=other), reason="this identity was unlinked")
        rights.announce(users={person.pk, other.pk}, because="an identity was unlinked from your account")
        _record("identity.unlink", person, other, acting_user, ended)
    return other


def _record(action: str, person: User, other: User, acting_user: User, ended: int) -> None:
    detail = {"person": person.pk, "identity": other.pk, "iss": other.iss, "sub": other.sub, "sessions": ended}
    for row in (person, other):
        audit.record(action, f"user:{row.pk}", actor=acting_user.as_actor(), because="by their own wish", detail=detail)
