"""Confirming who one is, in a session that goes on."""

import time

from django.db import transaction
from django.http import HttpRequest

from auth import audit
from auth.models import Login, User

from . import requirements, step_up
from .claims import Identity
from .client import LEEWAY, Pending
from .errors import AnotherPerson, NotAfresh, Stale, WeakConfirmation
from .requirements import Requirements
from .sign_in import refuse_blocked


def confirm(request: HttpRequest, identity: Identity, pending: Pending) -> None:
    """Remember in this session that its person has just logged in, with whichever identity of theirs.

    Raises Stale when the session is no longer theirs, what requirements raise, Blocked, or a ConfirmationFailed. The
    session's key is not changed: see step_up.
    """
    user = whose(request, pending)
    known = User.objects.select_related("linked_to").filter(iss=identity.iss, sub=identity.sub).first()
    if known is None or known.person != user.person:
        raise AnotherPerson(f"user {user.pk} confirmed as {f'user {known.pk}' if known else 'somebody unknown'}")
    conditions = requirements.configured()
    Requirements(assurance=conditions.assurance, allowed=conditions.allowed, refused=conditions.refused).check(
        identity, user=user
    )
    refuse_blocked(user)
    if identity.auth_time is not None and identity.auth_time < pending.begun - LEEWAY:
        raise NotAfresh(f"the login is {int(pending.begun - identity.auth_time)} s older than the question", user=user)
    wanted = pending.errand.acr
    if wanted and identity.acr not in wanted:
        raise WeakConfirmation(f"acr is {identity.acr[:100] or 'missing'}, not {' or '.join(wanted)}", user=user)
    with transaction.atomic():
        step_up.remember(request, at=time.time(), acr=identity.acr)
        if identity.sid:  # the provider may have begun a session of its own anew: its end is then this one's too
            Login.objects.filter(
                session_id=request.session.session_key, identity=known, iss=identity.iss, sub=identity.subject
            ).update(sid=identity.sid)
        audit.record(
            "session.confirm",
            f"user:{user.pk}",
            actor=user.as_actor(),
            because="logged in afresh",
            detail={"acr": identity.acr, "identity": known.pk},
        )


def whose(request: HttpRequest, pending: Pending) -> User:
    """The person of this session, who must be the one that the errand began with."""
    user = request.user
    if not isinstance(user, User) or user.pk != pending.errand.account:
        raise Stale("the session is not the one in which this began")
    return user
