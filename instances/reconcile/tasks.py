"""The jobs. They only wake: a job that is lost, doubled or late changes nothing but the time.

Two jobs of one instance may run at once: the lease lets one of them in. A job lock of procrastinate's would do the same
but for the jobs of workers that were killed, which would keep it until they are found. Nor is a job that failed tried
again as a job: its retry would meet the queueing lock of the next wake-up; the row says when it is due, and is swept.
"""

import logging
from uuid import UUID

from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Status

from instances.services.wake import PLACE, TASK

from .queue import place
from .worker import reconcile

log = logging.getLogger(__name__)
SILENT = 30.0
"""Seconds without a heartbeat after which a worker's jobs are taken from it."""


@app.task(name=TASK, queue="reconcile")
def reconcile_instance(*, instance_id: str) -> None:
    reconcile(UUID(instance_id))


@app.periodic(cron="* * * * *")
@app.task(name="instances.stalled_jobs", queue="reconcile", queueing_lock="stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """What dead workers had in hand is done by others. An instance's job that waits again anyhow is dropped."""
    jobs = context.app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=SILENT):
        try:
            await jobs.retry_job(job)
        except ConnectorException:  # another job with its queueing lock is waiting
            await jobs.finish_job(job, status=Status.FAILED, delete_job=True)
        log.warning("job %s of a dead worker is done again: %s %s", job.id, job.task_name, job.task_kwargs)


@app.task(name=PLACE, queue="reconcile")
def place_from_the_line() -> None:
    place()
