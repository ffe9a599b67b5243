"""Names in the portal to ids in the cloud: flavours, images, networks. Kept a while; what lacks is looked up anew."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from instances.errors import ProviderError
from instances.providers.base import Spec

from .configuration import Configuration
from .door import Door

KEEP = 300.0
"""Seconds that a list is believed."""
HASTE = 10.0
"""Seconds before a list is asked for anew because of a name that it lacks."""


class Catalogue:
    def __init__(self, door: Door, configuration: Configuration) -> None:
        self._door = door
        self._configuration = configuration
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, list[dict[str, Any]]]] = {}

    def flavour(self, spec: Spec) -> dict[str, Any]:
        """By the offer's name, by the flavour's slug, or, without either, the one with exactly its hardware."""
        slug = spec.labels.get("flavour", "")
        name = spec.flavour or self._configuration.flavours.get(slug, slug)
        if name:
            return self._one("flavour", self.flavours, name)
        for flavour in self.flavours():
            hardware = flavour["vcpus"], flavour["ram"], "VGPU" in str(flavour) or "alias" in str(flavour)
            if hardware == (spec.cores, spec.memory_mb, bool(spec.gpu_count)):
                return flavour
        raise ProviderError(f"The cloud has no flavour with {spec.cores:g} cores and {spec.memory_mb} MB.", retry=False)

    def image(self, name: str) -> str:
        return str(self._one("image", self.images, self._configuration.images.get(name, name))["id"])

    def networks(self) -> list[str]:
        return [str(self._one("network", self._networks, name)["id"]) for name in self._configuration.networks]

    def flavours(self, age: float = KEEP) -> list[dict[str, Any]]:
        return self._list("flavours", "compute", "/flavors/detail", "flavors", age)

    def images(self, age: float = KEEP) -> list[dict[str, Any]]:
        """Those that a server can be made from now."""
        return self._list("images", "image", "/images", "images", age, status="active")

    def startable(self) -> frozenset[str]:
        """Names of images as environments have them: the cloud's own, and those that settings translate."""
        own = {one[key] for one in self.images() for key in ("id", "name") if one.get(key)}
        translated = {name for name, there in self._configuration.images.items() if there in own}
        return frozenset(own | translated)

    def _networks(self, age: float = KEEP) -> list[dict[str, Any]]:
        return self._list("networks", "network", "/networks", "networks", age)

    def _one(self, kind: str, listed: Callable[[float], list[dict[str, Any]]], name: str) -> dict[str, Any]:
        for age in (KEEP, HASTE):
            found = [one for one in listed(age) if name in (one["id"], one["name"])]
            if found:
                break
        exact = [one for one in found if one["id"] == name] or found
        if len(exact) == 1:
            return exact[0]
        how = "no" if not exact else f"{len(exact)} of the"
        raise ProviderError(f"The cloud has {how} {kind} “{name}”.", retry=False)

    def _list(
        self, name: str, service: str, path: str, key: str, age: float, **parameters: Any
    ) -> list[dict[str, Any]]:
        with self._lock:
            at, found = self._kept.get(name, (float("-inf"), []))
            if time.monotonic() - at > age:
                found = [one for page in self._door.pages(service, path, key, **parameters) for one in page]
                self._kept[name] = time.monotonic(), found
            return found


def extra(flavour: Mapping[str, Any]) -> dict[str, str]:
    return dict(flavour.get("extra_specs") or {})
