"""What a one-machine portal offers: this machine as a cloud, two environments, and ESRF's flavours beside its own."""

import os
from pathlib import Path

from django.db import transaction

from instances.models import Cloud, Environment, Flavour, FlavourOffer, Quota
from instances.quotas import Scope

GB = 1024
ESRF = [
    # slug, name, group, cores, GB, GPU model, GPUs
    ("small", "Small", "general", 4, 4, "", 0),
    ("medium", "Medium", "general", 8, 8, "", 0),
    ("large", "Large", "general", 8, 16, "", 0),
    ("large.memory", "Large memory", "memory", 16, 62.5, "", 0),
    ("xl.memory", "Extra large memory", "memory", 32, 256, "", 0),
    ("gpu.a16", "A16", "gpu", 16, 32, "A16", 1),
    ("gpu.a40", "A40", "gpu", 16, 32, "A40", 1),
    ("gpu.a16.large", "A16 large", "gpu", 32, 128, "A16", 1),
    ("gpu.a40.xlarge", "A40 extra large", "gpu", 32, 128, "A40", 1),
]


@transaction.atomic
def load() -> None:
    """Make or refresh the rows; what an administrator changed elsewhere stays."""
    cloud, new = Cloud.objects.get_or_create(name="local", defaults={"title": "This machine", "kind": "local"})
    if new and not Quota.objects.exists():
        Quota.objects.create(
            scope=Scope.PERSON, instances=10, because="Enough to try things, as long as nobody says more"
        )
    for position, (slug, fields) in enumerate(_environments().items()):
        Environment.objects.update_or_create(slug=slug, defaults=fields | {"position": position})
    for position, (slug, name, group, cores, memory, gpu, count) in enumerate([*_own(), *ESRF]):
        flavour, _ = Flavour.objects.update_or_create(
            slug=slug,
            defaults={
                "name": name,
                "group": group,
                "cores": cores,
                "memory_mb": round(memory * GB),
                "gpu_model": gpu,
                "gpu_count": count,
                "position": position,
            },
        )
        if not gpu:
            FlavourOffer.objects.get_or_create(flavour=flavour, cloud=cloud)


def _own() -> list[tuple[str, str, str, float, float, str, int]]:
    """Two sizes that fit this machine, whatever it is."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        ("local.half", "Half this machine", "general", max(1, cores // 2), max(1, min(4, int(memory / 8))), "", 0),
        ("local.full", "This machine", "general", cores, max(1, min(16, int(memory / 3))), "", 0),
    ]


def _environments() -> dict[str, dict[str, object]]:
    return {
        "desktop": {
            "name": "Desktop",
            "description": "A Linux desktop next to your data: terminal, files and editor, on one screen or two.",
            "icon": "display",
            "software": ["Xfce 4 desktop", "TigerVNC", "Terminal", "Thunar file manager", "Mousepad"],
            "apps": ["desktop"],
            "image": "desktop",
        },
        "jupyter": {
            "name": "JupyterLab",
            "description": "Notebooks in your browser, with H5Web to look into NeXus and HDF5 files.",
            "icon": "journal-code",
            "software": _installed(
                "jupyterlab", "jupyterlab-h5web", "h5py", "hdf5plugin", "silx", "numpy", "matplotlib"
            ),
            "apps": ["jupyter"],
            "image": "jupyter",
        },
    }


def _installed(*packages: str) -> list[str]:
    """Names with the versions that the lock file pins."""
    pinned = {}
    for line in (Path(__file__).parents[2] / "requirements/jupyter.txt").read_text().splitlines():
        name, equals, rest = line.partition("==")
        if equals and not line.startswith((" ", "#")):
            pinned[name] = rest.split()[0]
    return [f"{package} {pinned[package]}" if package in pinned else package for package in packages]
