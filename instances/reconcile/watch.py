"""What the clouds say of all their instances, in one list per cloud and tick; only what moved is looked into."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from django.db import connection
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Cloud, Instance
from instances.providers.base import Capacity, Observed
from instances.services.clouds import provider_for
from instances.services.wake import wake
from instances.states import Phase, State

log = logging.getLogger(__name__)


def watch() -> None:
    """One tick over all clouds; a cloud that another worker is watching is left to it."""
    for cloud in Cloud.objects.filter(enabled=True):
        with _watching(cloud) as mine:
            if mine:
                _observe(cloud)


@contextmanager
def _watching(cloud: Cloud) -> Iterator[bool]:
    """A session lock: it ends with the worker, however that ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('visa.watch'), %s)", [cloud.pk])
        (mine,) = cursor.fetchone()
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext('visa.watch'), %s)", [cloud.pk])


def _observe(cloud: Cloud) -> None:
    try:
        provider = provider_for(cloud)
        capacity = provider.capacity()
        observed = {found.id: found.observed for found in provider.observe_all()}
    except ProviderError as error:
        log.warning("cloud %s: %s", cloud.name, error.reason)
        Cloud.objects.filter(pk=cloud.pk).update(trouble=error.reason)
        return
    Cloud.objects.filter(pk=cloud.pk).update(trouble="", observed_at=timezone.now(), capacity=_as_json(capacity))
    rows = Instance.objects.filter(cloud=cloud, lease=None).exclude(state=State.DELETED)
    for instance in rows.only("id", "phase", "observed_generation", "apps_ready", "state"):
        if _moved(instance, observed.get(instance.key, Observed(Phase.ABSENT))):
            wake(instance.pk)


def _moved(instance: Instance, observed: Observed) -> bool:
    return (
        instance.state == State.UNKNOWN
        or instance.phase != observed.phase
        or instance.apps_ready != sorted(observed.apps)
        or (observed.phase is not Phase.ABSENT and instance.observed_generation != observed.generation)
    )


def _as_json(capacity: Capacity) -> dict[str, object]:
    return asdict(capacity) | {"images": sorted(capacity.images), "notes": list(capacity.notes)}
