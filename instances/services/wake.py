"""Telling a worker to look at an instance now. The rows hold the truth: a lost wake-up costs a moment, nothing else."""

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from auth.rights import batched
from instances.models import Instance

TASK, PLACE = "instances.reconcile", "instances.place"
BATCH = 200


def wake_many(instance_ids: Iterable[UUID]) -> None:
    """Like `wake`, in a statement or two for all of them."""
    wanted = {str(instance_id) for instance_id in instance_ids}
    if not wanted:
        return
    waiting = ProcrastinateJob.objects.filter(queueing_lock__in=wanted, status="todo")
    for some in batched(sorted(wanted - set(waiting.values_list("queueing_lock", flat=True))), BATCH):
        jobs = [
            app.configure_task(TASK, queue="reconcile", queueing_lock=key, allow_unknown=True).make_new_job(
                instance_id=key
            )
            for key in some
        ]
        try:
            with transaction.atomic():
                app.job_manager.batch_defer_jobs(jobs)
        except AlreadyEnqueued:  # somebody woke one of them at this moment
            for key in some:
                wake(UUID(key))


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
