"""What every template may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from auth.models import User
from instances.policy import may_audit


def facility(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    return {
        "facility": settings.FACILITY,
        "sign_in_title": settings.OIDC["title"],
        "csp_nonce": request.csp_nonce,  # type: ignore[attr-defined]
        # Asked when a page shows it: error pages ask the database nothing.
        "sees_administration": SimpleLazyObject(lambda: sees_administration(user)),
    }


def sees_administration(user: Any) -> bool:
    """Whether to offer the way there; most pages have asked who it is by then."""
    return isinstance(user, User) and bool(may_audit(user.seen_as or user.as_actor()))
