"""Telling a worker to look at an instance now. The rows hold the truth: a lost wake-up costs a moment, nothing else."""

from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

TASK = "instances.reconcile"


def wake(instance_id: UUID) -> None:
    """On commit, some worker reconciles the instance; one waiting job for each is enough."""
    job = app.configure_task(TASK, queue="reconcile", queueing_lock=str(instance_id), allow_unknown=True)
    try:
        with transaction.atomic():
            job.defer(instance_id=str(instance_id))
    except AlreadyEnqueued:
        pass
