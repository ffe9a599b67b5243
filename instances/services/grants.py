"""The data that an instance gets: from its owner's entitlements to mounts."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TypedDict

from django.conf import settings

from auth.data import DataGrant, Entitlement
from auth.models import Experiment
from instances.models import Instance
from instances.providers.base import Mount

from .experiments import entitlements_of
from .visibility import experiments_of


class StoredGrant(TypedDict):
    path: str
    target: str
    mode: str
    because: str
    until: str | None
    proposal: str
    experiment: int


def stored(grant: DataGrant) -> StoredGrant:
    return {
        "path": grant.path,
        "target": target_of(grant),
        "mode": grant.mode.value,
        "because": grant.because,
        "until": grant.until.isoformat() if grant.until else None,
        "proposal": grant.proposal,
        "experiment": grant.experiment,
    }


def target_of(grant: DataGrant) -> str:
    """Where the instance sees the folder."""
    return str(PurePosixPath(settings.DATA_TARGET) / grant.path)


def columns(granted: Iterable[DataGrant]) -> dict[str, Any]:
    """What an instance's row says of its grants."""
    granted = list(granted)
    ends = [grant.until for grant in granted if grant.until]
    return {"grants": [stored(grant) for grant in granted], "entitled_until": min(ends, default=None)}


def entitlements(instance: Instance, *, at: datetime) -> dict[int, Entitlement]:
    """What each of its experiments gives its owner at `at`, or the reason why nothing."""
    return entitlements_of(instance.owner.as_actor(at=at), experiments_of(instance), at=at)


def granted_by(entitled: Mapping[int, Entitlement]) -> list[DataGrant]:
    return [grant for one in entitled.values() for grant in one.grants]


def mounts(grants: list[DataGrant]) -> tuple[Mount, ...]:
    return tuple(Mount(str(settings.DATA_ROOT / g.path), target_of(g), g.writable) for g in grants)


def groups(grants: list[DataGrant], experiments: Iterable[Experiment]) -> tuple[int, ...]:
    """The Unix groups of exactly the granted proposals."""
    granted = {grant.experiment for grant in grants}
    return tuple(sorted({e.proposal.gid for e in experiments if e.pk in granted}))
