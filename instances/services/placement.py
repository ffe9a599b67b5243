"""Which cloud can run a flavour now, which could, and in words, why none can."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Sum
from django.utils import timezone

from instances.models import Cloud, Environment, Flavour, FlavourOffer, Instance
from instances.providers.base import Capacity
from instances.queueing import CORES, MEMORY, UNLIMITED, Amounts, gpu
from instances.states import State

from .quotas import ACTIVE


@dataclass(slots=True)
class InUse:
    """What instances that run, or are to run, have been promised in one cloud."""

    memory_mb: int = 0
    cores: float = 0
    gpus: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Offer:
    """A place for a flavour; `cloud` None means nowhere now, and `because` says why."""

    cloud: Cloud | None
    because: str
    possible: tuple[Cloud, ...] = ()
    """Those that could run it if they had room and answered, preferred ones first; none: it can never be had."""


def in_use(clouds: Iterable[Cloud]) -> dict[int, InUse]:
    """By cloud id. One query."""
    used = {cloud.pk: InUse() for cloud in clouds}
    rows = (
        Instance.objects.filter(ACTIVE, cloud__in=used, waiting_since=None)
        .exclude(state=State.DELETED)
        .order_by()
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
    possible = tuple(cloud for cloud in clouds if not never(flavour, cloud, environment))
    if not possible:
        return Offer(None, nowhere(flavour, clouds, environment))
    refusals = []
    for cloud in possible:
        because = closed(cloud) or _shortage(flavour, cloud, used[cloud.pk])
        if not because:
            return Offer(cloud, f"Free on {cloud.title}", possible)
        refusals.append(because)
    return Offer(None, refusals[0], possible)


def nowhere(flavour: Flavour, clouds: list[Cloud], environment: Environment | None = None) -> str:
    """Why none of `clouds` could ever run it."""
    if clouds:
        return never(flavour, clouds[0], environment)
    what = f"no configured cloud has {flavour.gpu_model} GPUs" if flavour.gpu_model else "no configured cloud offers it"
    return f"Not available here: {what}."


def never(flavour: Flavour, cloud: Cloud, environment: Environment | None = None) -> str:
    """Why the cloud can never run it, empty as it is; empty when it could, or has not said yet what it can."""
    limits = cloud.limits
    if limits is None:
        return ""
    if environment and environment.image not in limits.images:
        return f"{cloud.title} cannot start {environment.name}: its software is not installed there."
    if flavour.gpu_count and flavour.gpu_count > limits.gpus.get(flavour.gpu_model, 0):
        return f"{cloud.title} has no {flavour.gpu_model} GPU."
    if flavour.cores > limits.cores:
        return f"Needs {flavour.cores:g} cores; {cloud.title.lower()} has {limits.cores:g}."
    if flavour.memory_mb > limits.memory_mb:
        return f"Needs {flavour.memory_gb:g} GB of memory; {cloud.title.lower()} has {limits.memory_mb / 1024:.0f} GB."
    return ""


def closed(cloud: Cloud, *, at: datetime | None = None) -> str:
    """Why nothing is placed in the cloud now, however much room it may have."""
    if not cloud.enabled:
        return f"{cloud.title} is switched off."
    if cloud.trouble or cloud.doubt or (cloud.closed_until and cloud.closed_until > (at or timezone.now())):
        return f"{cloud.title} does not answer at the moment."
    if cloud.limits is None:
        return f"{cloud.title} has not reported what it can run yet."
    return ""


def rooms(clouds: Iterable[Cloud], used: dict[int, InUse]) -> dict[int, dict[str, float]]:
    """What is free in those of `clouds` that take somebody now, by id."""
    now = timezone.now()
    return {
        cloud.pk: room(cloud.limits, used[cloud.pk]) for cloud in clouds if cloud.limits and not closed(cloud, at=now)
    }


def room(limits: Capacity, used: InUse) -> dict[str, float]:
    """What is free, as the line counts it."""
    free: dict[str, float] = {gpu(model): count - used.gpus[model] for model, count in limits.gpus.items()}
    free[MEMORY] = limits.memory_mb - used.memory_mb
    free[CORES] = UNLIMITED if limits.shared_cores else limits.cores - used.cores
    return free


def need(flavour: Flavour) -> Amounts:
    wanted = {CORES: flavour.cores, MEMORY: float(flavour.memory_mb)}
    return wanted | ({gpu(flavour.gpu_model): float(flavour.gpu_count)} if flavour.gpu_count else {})


def _shortage(flavour: Flavour, cloud: Cloud, used: InUse) -> str:
    assert cloud.limits
    free = room(cloud.limits, used)
    if flavour.gpu_count and flavour.gpu_count > free.get(gpu(flavour.gpu_model), 0):
        return f"No {flavour.gpu_model} is free now on {cloud.title.lower()}."
    if flavour.memory_mb > free[MEMORY]:
        return f"{cloud.title} has {max(0, free[MEMORY]) / 1024:.1f} GB of memory free now."
    if flavour.cores > free[CORES]:
        return f"{cloud.title} has {max(0, free[CORES]):g} cores free now."
    return ""


def clouds_of(flavours: Iterable[Flavour]) -> dict[int, list[Cloud]]:
    """The enabled clouds of each flavour, preferred ones first. One query."""
    found: dict[int, list[Cloud]] = {flavour.pk: [] for flavour in flavours}
    offers = FlavourOffer.objects.filter(flavour__in=found, cloud__enabled=True).select_related("cloud")
    for row in offers.order_by("preference", "cloud__name"):
        found[row.flavour_id].append(row.cloud)
    return found
