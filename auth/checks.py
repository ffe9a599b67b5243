"""What `manage.py check` says about the files that settings name."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from auth.oidc import mapping, registrations, roles


@register()
def files(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return _problems("VISA_OIDC_MORE", lambda: registrations.further(settings.OIDC_MORE), "visa_auth.E001") + _problems(
        "VISA_ROLE_MAPPING", lambda: roles.read(settings.ROLE_MAPPING), "visa_auth.E002"
    )


def _problems(setting: str, read: Callable[[], object], number: str) -> list[CheckMessage]:
    try:
        read()
    except (mapping.Invalid, registrations.Invalid) as error:
        return [Error(f"{setting}: {problem}", id=number) for problem in error.problems]
    return []
