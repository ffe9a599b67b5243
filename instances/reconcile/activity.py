"""What computes, whether anybody looks at it or not: about once a minute each cloud, or an instance's own machine, says
how hard it works.

Only the difference of two answers tells something. Where one is missing, or too old, whatever runs there counts as
having worked: what was not seen is not taken for idleness.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Cloud, Load
from instances.providers.base import Usage
from instances.services import guests
from instances.services.clouds import provider_for
from instances.states import OPEN

log = logging.getLogger(__name__)
EVERY = timedelta(seconds=50)
"""Any number of workers come by; a cloud is asked no more often than this."""
FRESH = timedelta(minutes=10)
"""An older answer says nothing about now."""
STEP = timedelta(minutes=5)
"""`active_at` is not written again for less."""


def look() -> int:
    """Ask every cloud whose turn it is; how many instances were found at work."""
    return sum(_look_at(cloud) for cloud in Cloud.objects.filter(enabled=True) if _mine(cloud))


def busy(
    before: Mapping[str, float], usage: Mapping[str, Usage], elapsed: timedelta | None, *, cores: float, gpu: float
) -> set[str]:
    """Those that work, or may have: `elapsed` None means that what was `before` says nothing."""
    found = set()
    for key, now in usage.items():
        if now.gpu is not None and now.gpu >= gpu:
            found.add(key)
        if now.cpu_seconds is None:
            continue
        used = now.cpu_seconds - before[key] if key in before else None
        if elapsed is None or used is None or used >= cores * elapsed.total_seconds():
            found.add(key)
    return found


def known(load: Load | None, key: str, now: datetime) -> bool:
    """Whether it is known if something computes in this instance."""
    return load is not None and load.at is not None and now - load.at <= FRESH and key in load.seconds


def _mine(cloud: Cloud) -> bool:
    """Whose turn it is is settled by one UPDATE; whoever dies over it is followed by another after EVERY."""
    now = timezone.now()
    Load.objects.bulk_create([Load(cloud=cloud)], ignore_conflicts=True)
    free = Load.objects.filter(Q(claimed=None) | Q(claimed__lte=now - EVERY), cloud=cloud)
    return bool(free.update(claimed=now))


def _look_at(cloud: Cloud) -> int:
    before = Load.objects.get(cloud=cloud)
    try:
        usage = {**guests.usage(cloud), **provider_for(cloud).usage()}
    except ProviderError as error:
        log.warning("cloud %s does not say how hard its instances work: %s", cloud.name, error.reason)
        return 0
    now = timezone.now()
    elapsed = now - before.at if before.at and now - before.at <= FRESH else None
    working = busy(before.seconds, usage, elapsed, cores=settings.IDLE_LOAD, gpu=settings.IDLE_GPU)
    seconds = {key: one.cpu_seconds for key, one in usage.items() if one.cpu_seconds is not None}
    with transaction.atomic():
        worked(working, now)
        Load.objects.filter(cloud=cloud).update(at=now, seconds=seconds)
    return len(working)


def worked(keys: Collection[str], now: datetime) -> None:
    """They are active now: one statement, which writes only where that is news."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE instances_instance SET active_at = %s"
            " WHERE id = ANY(%s) AND state = ANY(%s) AND (active_at IS NULL OR active_at < %s)",
            [now, [UUID(key) for key in sorted(keys)], sorted(OPEN), now - STEP],
        )
