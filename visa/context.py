"""What every template may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from auth.models import User
from instances.policy import may_audit


def facility(request: HttpRequest) -> dict[str, Any]:
    def sees_administration() -> bool:
        user = getattr(request, "user", None)
        return isinstance(user, User) and bool(may_audit(user.as_actor()))

    return {
        "facility": settings.FACILITY,
        "sign_in_title": settings.OIDC["title"],
        "csp_nonce": request.csp_nonce,  # type: ignore[attr-defined]
        "sees_administration": SimpleLazyObject(sees_administration),  # error pages ask the database nothing
    }
