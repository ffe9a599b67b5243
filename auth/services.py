"""Making and revoking API tokens."""

import secrets
from datetime import datetime

from django.db import transaction

from auth import audit
from auth.digests import digest_of
from auth.models import ApiToken, User

PREFIX = "visa_"


def create_token(*, acting_user: User, name: str, expires: datetime | None = None) -> tuple[ApiToken, str]:
    """A new token and its secret, which nobody can read again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            user=acting_user,
            name=name,
            prefix=secret[: len(PREFIX) + 4],
            digest=digest_of(secret),
            expires=expires,
        )
        audit.record(
            "token.create",
            f"token:{token.pk}",
            actor=acting_user.as_actor(),
            detail={"name": name, "for": acting_user.pk},
        )
    return token, secret
