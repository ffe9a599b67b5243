"""Taking over the flavours that a cloud has."""

import re
from dataclasses import dataclass

from django.db import transaction

from auth import audit
from instances.models import Cloud, Flavour, FlavourOffer
from instances.providers.base import Hardware

from .clouds import provider_for


@dataclass(frozen=True, slots=True)
class Import:
    """One flavour of the cloud: what it becomes here."""

    hardware: Hardware
    flavour: str
    """Slug."""
    new: bool
    offered: bool
    """The cloud offers it already."""


def importable(cloud: Cloud) -> list[Import]:
    """Each of the cloud's flavours with the one here that has the same hardware, or a new one. Raises ProviderError."""
    found = []
    known = {_key(flavour): flavour.slug for flavour in Flavour.objects.order_by("-position")}
    offered = dict(cloud.offers.values_list("name", "flavour__slug"))
    taken = set(Flavour.objects.values_list("slug", flat=True)) | set(offered.values())
    for hardware in sorted(provider_for(cloud).hardware(), key=lambda one: (one.memory_mb, one.cores, one.name)):
        slug = offered.get(hardware.name) or known.get(_key(hardware))
        new = slug is None
        if slug is None:
            slug = _free(hardware.name, taken)
            known[_key(hardware)] = slug
            taken.add(slug)
        found.append(Import(hardware, slug, new, hardware.name in offered))
    return found


def import_flavours(cloud: Cloud) -> list[Import]:
    """Offer the cloud's flavours, once for each hardware; new ones stay invisible until an administrator shows them."""
    found = importable(cloud)
    with transaction.atomic():
        for one in found:
            if one.new:
                Flavour.objects.create(**_columns(one))
            if not one.offered:
                flavour = Flavour.objects.get(slug=one.flavour)
                FlavourOffer.objects.get_or_create(flavour=flavour, cloud=cloud, defaults={"name": one.hardware.name})
        audit.record(
            "flavour.import",
            f"cloud:{cloud.name}",
            actor=None,
            because="imported on the command line",
            detail={"new": [one.flavour for one in found if one.new]},
        )
    return found


def _key(hardware: Hardware | Flavour) -> tuple[float, int, str, int]:
    return hardware.cores, hardware.memory_mb, hardware.gpu_model, hardware.gpu_count


def _free(name: str, taken: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "flavour"
    return next(slug_ for slug_ in (slug, *(f"{slug}-{n}" for n in range(2, 1000))) if slug_ not in taken)


def _columns(one: Import) -> dict[str, object]:
    hardware = one.hardware
    return {
        "slug": one.flavour,
        "name": hardware.name,
        "group": Flavour.Group.GPU if hardware.gpu_count else Flavour.Group.GENERAL,
        "cores": hardware.cores,
        "memory_mb": hardware.memory_mb,
        "gpu_model": hardware.gpu_model,
        "gpu_count": hardware.gpu_count,
        "visible": False,
    }
