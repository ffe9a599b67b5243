"""Whose turn it is: one worker at a time holds an instance, and loses it soon after it dies."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import Error, connection, transaction
from django.db.models import Q
from django.utils import timezone

from instances.models import Instance

log = logging.getLogger(__name__)
LENGTH = timedelta(seconds=8)
"""After a worker's death the next one waits this long at most."""
LONGEST = timedelta(minutes=15)
"""A worker that is stuck in a call for longer loses the instance to another, and can write nothing more about it."""


@contextmanager
def held(instance_id: UUID) -> Iterator[UUID | None]:
    """The lease on one instance, renewed while it is held; None when another worker has it."""
    lease = _take(instance_id)
    if lease is None:
        yield None
        return
    done = threading.Event()
    renewer = threading.Thread(target=_renew, args=(instance_id, lease, done), daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        Instance.objects.filter(pk=instance_id, lease=lease).update(lease=None, lease_until=None, acting=False)


def _take(instance_id: UUID) -> UUID | None:
    now = timezone.now()
    with transaction.atomic():
        free = Instance.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now), pk=instance_id)
        if not free.select_for_update(skip_locked=True).values_list("pk").first():
            return None
        lease = uuid4()
        Instance.objects.filter(pk=instance_id).update(lease=lease, lease_until=now + LENGTH, acting=False)
    return lease


def _renew(instance_id: UUID, lease: UUID, done: threading.Event) -> None:
    until = time.monotonic() + LONGEST.total_seconds()
    while not done.wait(LENGTH.total_seconds() / 3) and time.monotonic() < until:
        try:
            Instance.objects.filter(pk=instance_id, lease=lease).update(lease_until=timezone.now() + LENGTH)
        except Error:
            log.warning("the lease on %s could not be renewed", instance_id, exc_info=True)
        finally:
            connection.close()  # back to the pool, between two renewals
