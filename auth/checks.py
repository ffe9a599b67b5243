"""What `manage.py check`, and every process before it serves, says about the files that settings name."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from auth import permissions
from auth.catalogues.base import CatalogueError
from auth.catalogues.configured import configured
from auth.oidc import mapping, registrations, roles


@register()
def files(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    return [
        *_problems("VISA_PERMISSIONS", permissions.table, "visa_auth.E001"),
        *_problems("VISA_OIDC_MORE", lambda: registrations.further(settings.OIDC_MORE), "visa_auth.E002"),
        *_problems("VISA_ROLE_MAPPING", lambda: roles.read(settings.ROLE_MAPPING), "visa_auth.E003"),
    ]


@register()
def catalogues(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Only warned of: what was read before still holds, and desktops need not wait for what comes next."""
    try:
        configured()
    except CatalogueError as error:
        return [Warning(f"VISA_CATALOGUES: {problem}", id="visa_auth.W001") for problem in error.problems]
    return []


def insist() -> None:
    """ImproperlyConfigured, with every problem: for processes that start without Django's own checks."""
    if problems := files():
        sentences = "\n".join(str(problem.msg) for problem in problems)
        raise ImproperlyConfigured(f"The configuration cannot be used, and nothing starts with it:\n{sentences}")


def _problems(setting: str, read: Callable[[], object], number: str) -> list[CheckMessage]:
    try:
        read()
    except (permissions.BadPermissions, mapping.Invalid, registrations.Invalid) as error:
        return [Error(f"{setting}: {problem}", id=number) for problem in error.problems]
    return []
