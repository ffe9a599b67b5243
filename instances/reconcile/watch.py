"""What the clouds say of all their instances, in one list per cloud and tick; only what moved is looked into.

Any number of workers may watch: whoever holds a cloud's advisory lock, when its tick is due, asks. A cloud that hangs
holds up nobody but itself.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from django.db import close_old_connections, connection
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Cloud, Environment
from instances.providers.base import Capacity, Found, Provider
from instances.services import clouds
from instances.services.clouds import provider_for

from . import listed, strays
from .calls import call
from .sift import Sifted, sift

log = logging.getLogger(__name__)
CAPACITY_EVERY = timedelta(seconds=60)
SILENT_AFTER = 3
"""Ticks without an answer after which what runs in a cloud is shown as unknown."""


class Watcher:
    """Watches each cloud in a thread of its own."""

    def __init__(self) -> None:
        self._busy: dict[int, threading.Thread] = {}

    def tick(self) -> None:
        """Look at every cloud that is not being looked at; returns at once."""
        self._busy = {pk: thread for pk, thread in self._busy.items() if thread.is_alive()}
        for cloud in clouds.watched():
            if cloud.pk not in self._busy:
                thread = threading.Thread(target=_in_thread, args=(cloud,), name=f"watch {cloud.name}", daemon=True)
                self._busy[cloud.pk] = thread
                thread.start()


def _in_thread(cloud: Cloud) -> None:
    try:
        look(cloud)
    except Exception:
        log.exception("watching %s failed; it is tried again", cloud.name)
    finally:
        close_old_connections()
        connection.close()


def watch() -> None:
    """One look at every cloud, whether its tick is due or not, one after the other."""
    for cloud in clouds.watched():
        look(cloud, now=True)


@dataclass(frozen=True, slots=True)
class Look:
    """A list, with the rows as they were before anything was done about it. `error`: there was none, and why."""

    found: Sequence[Found] = ()
    rows: Mapping[str, listed.Row] = field(default_factory=dict)
    sifted: Sifted = field(default_factory=Sifted)
    beside: strays.Sorted = field(default_factory=strays.Sorted)
    error: str = ""


def look(cloud: Cloud, *, now: bool = False) -> Look | None:
    """Ask for the list and act upon it; None: somebody else does, or did within the tick."""
    provider = provider_for(cloud)
    with _watching(cloud) as mine:
        if not mine:
            return None
        cloud.refresh_from_db()
        if not now and cloud.asked_at and timezone.now() - cloud.asked_at < provider.tick * 0.8:
            return None
        Cloud.objects.filter(pk=cloud.pk).update(asked_at=timezone.now())
        return _observe(cloud, provider)


def peek(cloud: Cloud) -> Look:
    """Ask for the list, and write nothing."""
    try:
        with call(cloud, "list", breaks=False):
            found = provider_for(cloud).observe_all()
    except ProviderError as error:
        return Look(error=error.reason)
    rows, sifted = _sifted(cloud, found)
    return Look(found, rows, sifted, strays.sorted_out(cloud, sifted))


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


def _observe(cloud: Cloud, provider: Provider) -> Look:
    began = timezone.now()
    try:
        capacity = _capacity(cloud, provider, began)
        with call(cloud, "list", breaks=False):
            found = provider.observe_all()
    except ProviderError as error:
        _silent(cloud, provider, error)
        return Look(error=error.reason)
    clouds.heard(cloud, capacity=capacity, at=began)
    rows, sifted = _sifted(cloud, found)
    if bool(sifted.doubt) != bool(cloud.doubt):
        clouds.doubted(cloud, sifted.doubt)
    apps = {pk: frozenset(names) for pk, names in Environment.objects.values_list("pk", "apps")}
    listed.write(rows, sifted, apps, began=began)
    return Look(found, rows, sifted, strays.look_at(cloud, provider, sifted, began=began))


def _sifted(cloud: Cloud, found: Sequence[Found]) -> tuple[dict[str, listed.Row], Sifted]:
    rows = listed.rows_of(cloud)
    return rows, sift((row.known for row in rows.values()), found)


def _capacity(cloud: Cloud, provider: Provider, now: datetime) -> dict[str, object] | None:
    """What it can run, asked for more seldom than the list; None: as it was."""
    if cloud.capacity_at and not cloud.trouble and now - cloud.capacity_at < max(CAPACITY_EVERY, provider.tick):
        return None
    with call(cloud, "capacity", breaks=False):
        return _as_json(provider.capacity())


def _silent(cloud: Cloud, provider: Provider, error: ProviderError) -> None:
    """It errs or says nothing. That is no news about anything in it."""
    clouds.silent(cloud, error.reason)
    since = cloud.observed_at or cloud.trouble_since
    if since and timezone.now() - since >= provider.tick * SILENT_AFTER:
        listed.silent(listed.rows_of(cloud).values())


def _as_json(capacity: Capacity) -> dict[str, object]:
    return asdict(capacity) | {"images": sorted(capacity.images), "notes": list(capacity.notes)}
