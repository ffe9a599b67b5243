"""Response headers that keep other people's code out of the portal."""

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from auth.oidc import registrations


class SecurityHeaders:
    """A strict Content-Security-Policy, with a nonce per response as `request.csp_nonce`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        broker = urlsplit(settings.BROKER_URL)
        apps = f"{broker.scheme}://*.{settings.APPS_HOST}"
        self.connect = f"{'wss' if broker.scheme == 'https' else 'ws'}://{broker.netloc}"
        self.apps = apps

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; "
            f"script-src 'self' 'nonce-{request.csp_nonce}'; "  # type: ignore[attr-defined]
            f"style-src 'self' 'nonce-{request.csp_nonce}'; "  # type: ignore[attr-defined]
            "img-src 'self' data: blob:; font-src 'self'; manifest-src 'self'; "
            f"connect-src 'self' {self.connect}; form-action 'self' {self.apps}{providers()}",
        )
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        return response


def providers() -> str:
    """Signing out posts here and is redirected to whichever provider one came from."""
    addresses = (urlsplit(known.issuer) for known in registrations.configured())
    return "".join(f" {parts.scheme}://{parts.netloc}" for parts in addresses)
