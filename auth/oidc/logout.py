"""Back-channel logout: the provider says that a login ended, and what began with it here ends too.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.4 to 2.8.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from auth import audit, sessions
from auth.identities import canonical_subject
from auth.models import Login, SpentLogout

from .claims import is_identifier
from .client import LEEWAY, Client
from .registrations import by_issuer

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPES = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})
"""Kinds that a logout token may call itself; older providers say plain JWT, or nothing."""
FRESH = 300
"""Seconds that a logout token may be old: enough for a provider that tries again."""
REASON = "signed out by the sign-in service"


class LogoutRefused(ValueError):
    """The token does not hold. `reason` is a word for machines, `str()` a sentence."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Logout:
    """Whose logins ended, once verified. At least one of `sub` and `sid` is there."""

    iss: str
    sub: str
    sid: str
    jti: str
    issued: float


def sender(token: str) -> str:
    """Which of the further providers a token says that it is from, before anything about it is believed.

    Empty, which is the main provider, for everybody else: its keys then decide.
    """
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return ""
    said = claims.get("iss") if isinstance(claims, dict) else None
    known = by_issuer(said) if isinstance(said, str) else None
    return known.issuer if known and known.key else ""


def read(token: Any, client: Client) -> Logout:
    """What a logout token says. LogoutRefused, or what Provider.verify raises, when it does not hold."""
    verified = client.provider.verify(token, "logout token")
    kind = verified.header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise LogoutRefused("type", "The token is of another kind.")
    return checked(verified.claims, issuer=client.registration.issuer, audience=client.registration.client_id)


def checked(claims: Mapping[str, Any], *, issuer: str, audience: str, at: float | None = None) -> Logout:
    """The claims of a token whose signature is the provider's."""
    at = time.time() if at is None else at
    if claims.get("iss") != issuer:
        raise LogoutRefused("issuer", "The token is from another issuer.")
    aud = claims.get("aud")
    if audience not in (aud if isinstance(aud, list) else [aud]):
        raise LogoutRefused("audience", "The token is for another client.")
    if "nonce" in claims:
        raise LogoutRefused("nonce", "A logout token holds no nonce.")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise LogoutRefused("events", "The token does not speak of a logout.")
    issued, expires = claims.get("iat"), claims.get("exp", at)
    if not (_is_time(issued) and _is_time(expires)):
        raise LogoutRefused("time", "The token does not say when it was made, or until when it holds.")
    if not (at - FRESH - LEEWAY <= issued <= at + LEEWAY and expires >= at - LEEWAY):
        raise LogoutRefused("stale", "The token is too old, or from the future.")
    jti, sub, sid = claims.get("jti"), claims.get("sub", ""), claims.get("sid", "")
    if not is_identifier(jti):
        raise LogoutRefused("jti", "The token has no identifier.")
    if not (sub or sid) or any(value != "" and not is_identifier(value) for value in (sub, sid)):
        raise LogoutRefused("subject", "The token names neither a subject nor a session.")
    return Logout(issuer, canonical_subject(issuer, sub), sid, jti, issued)


def end(logout: Logout) -> int:
    """End what began with these logins: sessions, unused tickets, live connections. Returns how many sessions.

    LogoutRefused when the token was used before.
    """
    with transaction.atomic():
        _spend(logout)
        logins = list(Login.objects.select_for_update(of=("self",)).select_related("user").filter(_which(logout)))
        ended = sessions.end(logins, reason=REASON)
        for user in {login.user for login in logins}:
            count = sum(login.user_id == user.pk for login in logins)
            audit.record(
                "session.end",
                f"user:{user.pk}",
                actor=None,
                because=REASON,
                detail={"sessions": count, "jti": logout.jti, "all": not logout.sid},
            )
    return ended


def _which(logout: Logout) -> Q:
    """The sessions of `sid`; without one, or for logins that came without one, all of the subject."""
    subject = Q(sub=logout.sub) if logout.sub else Q()
    if not logout.sid:
        return Q(iss=logout.iss) & subject
    unnamed = Q(sid="", sub=logout.sub) if logout.sub else Q(pk__in=[])
    return Q(iss=logout.iss) & ((Q(sid=logout.sid) & subject) | unnamed)


def _spend(logout: Logout) -> None:
    SpentLogout.objects.filter(until__lt=timezone.now()).delete()
    until = datetime.fromtimestamp(logout.issued, UTC) + timedelta(seconds=FRESH + 2 * LEEWAY)
    try:
        with transaction.atomic():
            SpentLogout.objects.create(iss=logout.iss, jti=logout.jti, until=until)
    except IntegrityError as error:
        raise LogoutRefused("replayed", "The token was used before.") from error


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 10**11
