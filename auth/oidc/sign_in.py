"""What a sign-in, a refusal and a sign-out do to the portal: session, roles, audit trail, live connections."""

import time
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import login, logout
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from auth import audit, bus
from auth.access import Actor
from auth.digests import session_digest
from auth.models import Login, User

from . import requirements, roles, step_up
from .accounts import account_for
from .claims import Identity
from .errors import Blocked, SignInFailed

KEPT_CLAIMS = "identity"
REFUSALS = {"sign_in": "session.refuse", "confirm": "session.confirm_refuse", "link": "identity.link_refuse"}


def sign_in(request: HttpRequest, identity: Identity, *, insisted: bool = False) -> User:
    """Begin a session under a new key for whoever this is. A SignInFailed says why they may not have one.

    Through a linked identity it is the session of the account that it is linked to. `insisted`: the provider was asked
    for a new login, so that this one is fresh even if it does not say when it was.
    """
    known = User.objects.filter(iss=identity.iss, sub=identity.sub).first()
    requirements.configured().check(identity, user=known)
    replaced = session_digest(request.session.session_key) if request.user.is_authenticated else ""
    with transaction.atomic():
        used, new = account_for(identity)
        user = used.person
        refuse_blocked(user)
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
        if replaced and session_digest(request.session.session_key) == replaced:
            request.session.cycle_key()  # the same person again, for whom login() keeps the key
        request.session.set_expiry(None)
        request.session[KEPT_CLAIMS] = identity.snapshot()
        request.session.pop(step_up.KEPT, None)
        if identity.auth_time is not None or insisted:
            step_up.remember(request, at=min(identity.auth_time or time.time(), time.time()), acr=identity.acr)
        request.session.save()
        Login.objects.create(
            session_id=str(request.session.session_key),
            user=user,
            identity=used,
            iss=identity.iss,
            sub=identity.subject,
            sid=identity.sid,
            agent=request.headers.get("User-Agent", "")[:300],
        )
        User.objects.filter(pk=used.pk).update(proven_at=timezone.now())
        held = roles.apply(used, identity)
        if replaced:
            bus.announce("close", session=replaced, reason="signed in anew")
        audit.record(
            "session.sign_in",
            f"user:{user.pk}",
            actor=user.as_actor(),
            because=f"{urlsplit(identity.iss).netloc} vouches for them"[:200],
            detail={
                "acr": identity.acr,
                "assurance": list(identity.assurance),
                "first": new,
                "identity": used.pk,
                "roles": held,
            },
        )
    return user


def refuse_blocked(person: User) -> None:
    """Blocked when any account of this person is: otherwise a second identity would be a way around it."""
    if row := User.objects.filter(Q(pk=person.pk) | Q(linked_to=person), is_active=False).first():
        raise Blocked(f"user {row.pk} is blocked", user=person)


def record_refusal(error: SignInFailed, *, reference: str, purpose: str = "sign_in", by: User | None = None) -> None:
    """Leave a row about a login that came to nothing. `by`: who is signed in all the while."""
    about = error.user or by
    with transaction.atomic():
        audit.record(
            REFUSALS[purpose],
            f"user:{about.pk}" if about else "user:unknown",
            actor=Actor(acting.pk, acting.name) if (acting := by or error.user) else None,
            because=str(error),
            detail={"kind": type(error).__name__.lower(), "reference": reference},
        )


def sign_out(request: HttpRequest) -> str:
    """End the session and, at once, every connection that was opened from it; the issuer that it came from."""
    user = request.user
    if not isinstance(user, User):
        return ""
    issuer: str = request.session.get(KEPT_CLAIMS, {}).get("iss", "")
    with transaction.atomic():
        bus.announce("close", session=session_digest(request.session.session_key), reason="signed out")
        logout(request)
        audit.record("session.sign_out", f"user:{user.pk}", actor=user.as_actor())
    return issuer
