"""What the portal can have of the cloud: its project's quota, and free GPUs by model out of placement."""

from collections import Counter
from collections.abc import Iterable

from instances.errors import ProviderError
from instances.providers.base import Capacity

from .configuration import Configuration
from .door import Door
from .servers import Server

UNLIMITED = 1_000_000
"""What a quota of -1 counts as: cores, and gigabytes."""
LETS_GO = frozenset({"SHELVED_OFFLOADED", "DELETED", "SOFT_DELETED"})
"""Statuses in which a server holds no device of any host."""


def capacity(
    configuration: Configuration,
    door: Door,
    placement: Door,
    ours: Iterable[Server],
    images: frozenset[str],
) -> Capacity:
    """As if nothing of ours ran: the portal itself subtracts what it has promised."""
    mine = list(ours)
    limits = door.get("compute", "/limits")["limits"]["absolute"]
    cores = sum(server.flavour.get("vcpus", 0) for server in mine)
    memory_mb = sum(server.flavour.get("ram", 0) for server in mine)
    gpus, notes = _gpus(configuration, placement, mine)
    return Capacity(
        cores=_left(limits["maxTotalCores"], limits["totalCoresUsed"], cores, UNLIMITED),
        memory_mb=_left(limits["maxTotalRAMSize"], limits["totalRAMUsed"], memory_mb, UNLIMITED * 1024),
        gpus=gpus,
        images=images,
        notes=notes,
    )


def _left(most: int, used: int, ours: int, unlimited: int) -> int:
    return max(0, (unlimited if most < 0 else most) - used + ours)


def _gpus(configuration: Configuration, door: Door, ours: list[Server]) -> tuple[dict[str, int], tuple[str, ...]]:
    """A model whose inventory cannot be read is not offered."""
    held: Counter[str] = Counter()
    for server in ours:
        model, count = server.gpus
        if server.status not in LETS_GO:
            held[model] += count
    found, notes = {}, []
    for model, source in configuration.gpus.items():
        if isinstance(source, int):
            found[model] = source
            continue
        try:
            found[model] = free(door, source) + held[model]
        except ProviderError as error:
            notes.append(f"{model} GPUs are not offered: placement does not say how many are free ({error}).")
    return found, tuple(notes)


def free(door: Door, source: str) -> int:
    """How many of a resource class, `CLASS` or `CLASS/TRAIT`, are free on all hosts: one call."""
    resource, _, trait = source.partition("/")
    asked = {"resources": f"{resource}:1"} | ({"required": trait} if trait else {})
    summaries = door.get("placement", "/allocation_candidates", **asked)["provider_summaries"]
    counts = [one["resources"][resource] for one in summaries.values() if resource in one["resources"]]
    return sum(max(0, count["capacity"] - count["used"]) for count in counts)
