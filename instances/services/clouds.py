"""From a configured cloud to the provider that drives it."""

from functools import lru_cache

from django.conf import settings
from django.utils.module_loading import import_string

from instances.models import Cloud
from instances.providers.base import Provider

KINDS = {"local": "instances.providers.local.provider.LocalProvider"}


def provider_for(cloud: Cloud) -> Provider:
    """The provider of `cloud`, kept for as long as its settings stay as they are."""
    return _make(cloud.name, cloud.kind, tuple(sorted(cloud.settings.items())))


@lru_cache(maxsize=64)
def _make(name: str, kind: str, chosen: tuple[tuple[str, str], ...]) -> Provider:
    defaults = {
        "deployment": settings.DEPLOYMENT,
        "key": settings.INSTANCE_KEY,
        "portal": settings.PORTAL_URL,
        "folder": str(settings.DATA / "local"),
        "jupyter": str(settings.ROOT / ".environments/jupyter"),
    }
    provider: Provider = import_string(KINDS[kind])(name, defaults | dict(chosen))
    return provider
