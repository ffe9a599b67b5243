"""What a sign-in, a refusal and a sign-out do to the portal: session, audit trail, live connections."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import login, logout
from django.db import transaction
from django.http import HttpRequest

from auth import audit, bus
from auth.access import Actor
from auth.digests import session_digest
from auth.models import Login, User

from . import requirements
from .accounts import account_for
from .claims import Identity
from .errors import Blocked, SignInFailed

KEPT_CLAIMS = "identity"


def sign_in(request: HttpRequest, identity: Identity) -> User:
    """Begin a session under a new key for whoever this is. A SignInFailed says why they may not have one."""
    known = User.objects.filter(iss=identity.iss, sub=identity.sub).first()
    requirements.configured().check(identity, user=known)
    replaced = session_digest(request.session.session_key) if request.user.is_authenticated else ""
    with transaction.atomic():
        user, new = account_for(identity)
        if not user.is_active:
            raise Blocked(f"user {user.pk} is blocked", user=user)
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
        if replaced and session_digest(request.session.session_key) == replaced:
            request.session.cycle_key()  # the same person again, for whom login() keeps the key
        request.session.set_expiry(None)
        request.session[KEPT_CLAIMS] = identity.snapshot()
        request.session.save()
        Login.objects.create(
            session_id=str(request.session.session_key), user=user, iss=identity.iss, sub=identity.sub, sid=identity.sid
        )
        if replaced:
            bus.announce("close", session=replaced, reason="signed in anew")
        audit.record(
            "session.sign_in",
            f"user:{user.pk}",
            actor=user.as_actor(),
            because=f"{urlsplit(identity.iss).netloc} vouches for them"[:200],
            detail={"acr": identity.acr, "assurance": list(identity.assurance), "first": new},
        )
    return user


def record_refusal(error: SignInFailed, *, reference: str) -> None:
    """Leave a row about a sign-in that came to nothing."""
    with transaction.atomic():
        audit.record(
            "session.refuse",
            f"user:{error.user.pk}" if error.user else "user:unknown",
            actor=Actor(error.user.pk, error.user.name) if error.user else None,
            because=str(error),
            detail={"kind": type(error).__name__.lower(), "reference": reference},
        )


def sign_out(request: HttpRequest) -> None:
    """End the session and, at once, every connection that was opened from it."""
    user = request.user
    if not isinstance(user, User):
        return
    with transaction.atomic():
        bus.announce("close", session=session_digest(request.session.session_key), reason="signed out")
        logout(request)
        audit.record("session.sign_out", f"user:{user.pk}", actor=user.as_actor())
