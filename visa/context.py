"""What every template may show."""

from typing import Any

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from auth.access import Actor, Role
from auth.models import RoleGrant, User
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
    """Whether to offer the way there. One query on every page, so that only what decides this is asked for."""
    if not isinstance(user, User):
        return False
    person = user.linked_to_id or user.pk
    held = RoleGrant.objects.in_force(timezone.now()).filter(Q(user=person) | Q(user__linked_to=person))
    roles = frozenset(map(Role, held.values_list("role", flat=True)))
    return bool(may_audit(Actor(user.pk, user.name, roles, active=user.is_active)))
