"""Bearer tokens. Only a hash is kept, so a stolen database opens nothing."""

from datetime import datetime, timedelta
from ipaddress import ip_address

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from auth.digests import digest_of
from auth.models import ApiToken, User

NOTED_EVERY = timedelta(minutes=1)


class BearerToken(BaseAuthentication):
    """401 at once for a token that is unknown, over, revoked, or whose person is blocked through any identity."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        now = timezone.now()
        person = Coalesce(OuterRef("user__linked_to"), OuterRef("user"))
        blocked = User.objects.filter(Q(pk=person) | Q(linked_to=person), is_active=False)
        token = (
            ApiToken.objects.live(now)
            .select_related("user")
            .filter(~Exists(blocked), digest=digest_of(secret.strip()))
            .first()
        )
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked. Make a new one.")
        self._note(token, _address(request), now)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'

    def _note(self, token: ApiToken, address: str | None, now: datetime) -> None:
        """When and from where it was last used: at once from a new place, otherwise to the minute."""
        lately = token.last_used is not None and now - token.last_used <= NOTED_EVERY
        if not lately or token.last_address != address:
            ApiToken.objects.filter(pk=token.pk).update(last_used=now, last_address=address)


def _address(request: Request) -> str | None:
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None  # a socket without an address


class BearerTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BearerToken
    name = "bearer"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}
