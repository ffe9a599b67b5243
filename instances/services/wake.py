"""Telling a worker to look at an instance now. The rows hold the truth: a lost wake-up costs a moment, nothing else."""

from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from instances.models import Instance

TASK, PLACE = "instances.reconcile", "instances.place"


def wake(instance_id: UUID) -> None:
    """On commit, some worker reconciles the instance; one waiting job for each is enough."""
    _defer(TASK, str(instance_id), instance_id=str(instance_id))


def wake_line() -> None:
    """Some worker looks whose turn it is, if anybody waits. Call it outside of transactions: the job is everybody's."""
    if Instance.objects.filter(waiting_since__isnull=False).exists():
        _defer(PLACE, "line")


def _defer(task: str, once: str, **arguments: str) -> None:
    job = app.configure_task(task, queue="reconcile", queueing_lock=once, allow_unknown=True)
    try:
        with transaction.atomic():
            job.defer(**arguments)
    except AlreadyEnqueued:
        pass
