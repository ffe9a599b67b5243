"""The cloud's flavours as hardware that the portal can offer. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from instances.providers.base import Hardware


def hardware(flavour: Mapping[str, Any], gpus: Mapping[str, int | str]) -> Hardware:
    """GPUs by the flavour's extra specs: a resource class that the settings give to a model, or a PCI alias."""
    model, count = _gpu(flavour.get("extra_specs") or {}, gpus)
    return Hardware(
        name=flavour["name"],
        cores=flavour["vcpus"],
        memory_mb=flavour["ram"],
        gpu_model=model,
        gpu_count=count,
    )


def _gpu(extra: Mapping[str, str], gpus: Mapping[str, int | str]) -> tuple[str, int]:
    for key, value in extra.items():
        if match := re.fullmatch(r"resources\d*:(VGPU|PGPU|CUSTOM_\w+)", key):
            return _model(match[1], extra, gpus), int(value)
        if key == "pci_passthrough:alias":
            alias, _, count = value.split(",")[0].partition(":")
            return next((model for model in gpus if model.lower() == alias.lower()), alias.upper()), int(count or 1)
    return "", 0


def _model(resource: str, extra: Mapping[str, str], gpus: Mapping[str, int | str]) -> str:
    """Of several models with one resource class, the one whose trait the flavour requires."""
    required = {
        key.partition(":")[2] for key, value in extra.items() if key.startswith("trait") and value == "required"
    }
    sources = {model: str(source).partition("/") for model, source in gpus.items()}
    fitting = [m for m, (name, _, trait) in sources.items() if name == resource and (not trait or trait in required)]
    return fitting[0] if fitting else resource.removeprefix("CUSTOM_")
