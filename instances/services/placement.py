"""Which cloud can run a flavour now, and in words, why none can."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Sum

from instances.models import Cloud, Environment, Flavour, FlavourOffer, Instance
from instances.providers.base import Capacity
from instances.states import Desired, State


@dataclass(slots=True)
class InUse:
    """What instances that run, or are to run, have been promised in one cloud."""

    memory_mb: int = 0
    cores: float = 0
    gpus: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Offer:
    """A place for a flavour; `cloud` None means nowhere, and `because` says why."""

    cloud: Cloud | None
    because: str


def in_use(clouds: Iterable[Cloud]) -> dict[int, InUse]:
    """By cloud id. One query."""
    used = {cloud.pk: InUse() for cloud in clouds}
    rows = (
        Instance.objects.filter(cloud__in=used, desired=Desired.RUNNING)
        .exclude(state=State.DELETED)
        .values("cloud_id", "flavour__gpu_model")
        .annotate(memory=Sum("flavour__memory_mb"), cores=Sum("flavour__cores"), gpus=Sum("flavour__gpu_count"))
    )
    for row in rows:
        use = used[row["cloud_id"]]
        use.memory_mb += row["memory"]
        use.cores += row["cores"]
        use.gpus[row["flavour__gpu_model"]] += row["gpus"]
    return used


def offer(
    flavour: Flavour, clouds: list[Cloud], used: dict[int, InUse], environment: Environment | None = None
) -> Offer:
    """The first of `clouds` (in order of preference) with room for `flavour`, or the first one's reason."""
    if not clouds:
        what = (
            f"no configured cloud has {flavour.gpu_model} GPUs"
            if flavour.gpu_model
            else "no configured cloud offers it"
        )
        return Offer(None, f"Not available here: {what}.")
    refusals = []
    for cloud in clouds:
        because = _refusal(flavour, cloud, cloud.limits, used[cloud.pk], environment)
        if not because:
            return Offer(cloud, f"Free on {cloud.title}")
        refusals.append(because)
    return Offer(None, refusals[0])


def _refusal(
    flavour: Flavour, cloud: Cloud, limits: Capacity | None, used: InUse, environment: Environment | None
) -> str:
    if cloud.trouble:
        return f"{cloud.title} does not answer at the moment."
    if limits is None:
        return f"{cloud.title} has not reported what it can run yet."
    if environment and environment.image not in limits.images:
        return f"{cloud.title} cannot start {environment.name}: its software is not installed there."
    if flavour.gpu_count and flavour.gpu_count > limits.gpus.get(flavour.gpu_model, 0):
        return f"{cloud.title} has no {flavour.gpu_model} GPU."
    if flavour.cores > limits.cores:
        return f"Needs {flavour.cores:g} cores; {cloud.title.lower()} has {limits.cores:g}."
    if flavour.memory_mb > limits.memory_mb:
        return f"Needs {flavour.memory_gb:g} GB of memory; {cloud.title.lower()} has {limits.memory_mb / 1024:.0f} GB."
    return _shortage(flavour, cloud, limits, used)


def _shortage(flavour: Flavour, cloud: Cloud, limits: Capacity, used: InUse) -> str:
    free_memory = limits.memory_mb - used.memory_mb
    if flavour.memory_mb > free_memory:
        free = f"{max(0, free_memory) / 1024:.1f} GB of memory"
        return f"{cloud.title} has {free} free now; stop an instance or choose less."
    free_cores = limits.cores - used.cores
    if not limits.shared_cores and flavour.cores > free_cores:
        return f"{cloud.title} has {max(0, free_cores):g} cores free now; stop an instance or choose less."
    if flavour.gpu_count > limits.gpus.get(flavour.gpu_model, 0) - used.gpus[flavour.gpu_model]:
        return f"No {flavour.gpu_model} is free now on {cloud.title.lower()}."
    return ""


def clouds_of(flavours: Iterable[Flavour]) -> dict[int, list[Cloud]]:
    """The enabled clouds of each flavour, preferred ones first. One query."""
    found: dict[int, list[Cloud]] = {flavour.pk: [] for flavour in flavours}
    offers = FlavourOffer.objects.filter(flavour__in=found, cloud__enabled=True).select_related("cloud")
    for row in offers.order_by("preference", "cloud__name"):
        found[row.flavour_id].append(row.cloud)
    return found
