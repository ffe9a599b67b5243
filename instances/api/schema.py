"""The OpenAPI description, with the scope that a token needs at each operation."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from auth.scopes import Scope, needed_for


class ScopedSchema(AutoSchema):
    def get_description(self) -> str:  # type: ignore[override]
        scope = self._scope()
        said = str(super().get_description() or "")
        return f"{said}\n\nScope: `{scope}`.".strip() if scope else said

    def get_extensions(self) -> dict[str, Any]:
        scope = self._scope()
        return {"x-scope": scope.value} if scope else {}

    def _scope(self) -> Scope | None:
        return needed_for(self.method, self.path)
