"""Making and revoking API tokens."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.digests import digest_of
from auth.models import ApiToken, User
from auth.scopes import Scope

PREFIX = "visa_"
AT_ONCE = 20
"""Live tokens of one person."""
NAME = ApiToken._meta.get_field("name").max_length or 0


class TokenRefused(ValueError):
    """`fields` maps what was wrong to a sentence for whoever asked; "" is about the whole."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


def usual_days() -> int:
    return min(90, int(settings.TOKEN_DAYS_MAX))


def create_token(
    *,
    acting_user: User,
    name: str,
    scopes: Iterable[Scope],
    expires: datetime | None = None,
    because: str = "",
) -> tuple[ApiToken, str]:
    """A new token and its secret, which nobody can read again. TokenRefused says what is wrong with the wish.

    Without `expires` it ends after 90 days. A live token's name is its person's only one of that name: sending the
    form twice makes one token.
    """
    now = timezone.now()
    expires = expires or now + timedelta(days=usual_days())
    name, wanted = " ".join(name.split()), tuple(dict.fromkeys(scopes))
    problems = _problems(name, wanted, expires, now)
    if problems:
        raise TokenRefused(problems)
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        actor = acting_user.as_actor()
        # The person's rows are locked, so that two forms sent at once are counted one after the other.
        list(User.objects.select_for_update(no_key=True).filter(pk__in=actor.accounts).order_by("pk").values_list("pk"))
        live = ApiToken.objects.live(now).filter(user__in=actor.accounts)
        if live.filter(name__iexact=name).exists():
            raise TokenRefused({"name": "You have a token of this name already. Choose another, or revoke that one."})
        if live.count() >= AT_ONCE:
            raise TokenRefused({"": f"You have {AT_ONCE} tokens already. Revoke one that you no longer use."})
        token = ApiToken.objects.create(
            user=acting_user,
            name=name,
            prefix=secret[: len(PREFIX) + 4],
            digest=digest_of(secret),
            scopes=[scope.value for scope in wanted],
            expires=expires,
        )
        audit.record(
            "token.create",
            f"token:{token.pk}",
            actor=actor,
            because=because,
            detail={"name": name, "for": acting_user.pk, "scopes": token.scopes, "expires": expires.isoformat()},
        )
    return token, secret


def revoke_token(token_id: int, *, acting_user: User) -> ApiToken:
    """It opens nothing from now on; revoking it twice is no error. Somebody else's: ApiToken.DoesNotExist."""
    with transaction.atomic():
        actor = acting_user.as_actor()
        token = ApiToken.objects.select_for_update().get(pk=token_id, user__in=actor.accounts)
        if token.revoked is None:
            token.revoked = timezone.now()
            token.save(update_fields=["revoked"])
            audit.record("token.revoke", f"token:{token.pk}", actor=actor, detail={"name": token.name})
    return token


def _problems(name: str, scopes: tuple[Scope, ...], expires: datetime, now: datetime) -> dict[str, str]:
    problems = {}
    if not name:
        problems["name"] = "Give it a name that says where you will use it."
    elif len(name) > NAME:
        problems["name"] = f"The name has {len(name)} characters; it may have {NAME}."
    if not scopes:
        problems["scopes"] = "Choose at least one thing that it may be used for."
    latest = now + timedelta(days=settings.TOKEN_DAYS_MAX, minutes=5)
    if not now < expires <= latest:
        problems["expires"] = f"It must end within {settings.TOKEN_DAYS_MAX} days from now."
    return problems
