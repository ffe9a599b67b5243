"""What every template may show."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def facility(request: HttpRequest) -> dict[str, Any]:
    return {"facility": settings.FACILITY, "sign_in_title": settings.OIDC["title"], "csp_nonce": request.csp_nonce}  # type: ignore[attr-defined]
