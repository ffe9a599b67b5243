"""A token reaches what its scopes name, and nothing that has no scope. A browser's session needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from auth.models import ApiToken
from auth.scopes import Scope, needed_for

if TYPE_CHECKING:
    from rest_framework.views import APIView  # it reads the settings that name this module


class MissingScope(PermissionDenied):
    """403 with what is needed and what the token has, for scripts too (RFC 6750, section 3.1)."""

    def __init__(self, needed: Scope | None, token: ApiToken) -> None:
        has = [scope.value for scope in token.granted]
        listed = ", ".join(has) or "none"
        if needed is None:
            super().__init__(f"No token may do this. This token has: {listed}.")
            self.auth_header = 'Bearer error="insufficient_scope"'
        else:
            super().__init__(f"This needs the scope {needed.value}. This token has: {listed}. Make a token with it.")
            self.auth_header = f'Bearer error="insufficient_scope", scope="{needed.value}"'
        self.extra: dict[str, Any] = {"needed_scope": needed.value if needed else None, "token_scopes": has}


class HasScope(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        token = request.auth
        if token is None:
            return True
        if not isinstance(token, ApiToken):
            return False
        method = request.method or ""
        if method not in view.allowed_methods:
            return True  # it is answered with 405, whoever asks
        match = request.resolver_match
        needed = needed_for(method, match.route) if match else None
        if needed is None or needed not in token.granted:
            raise MissingScope(needed, token)
        return True
