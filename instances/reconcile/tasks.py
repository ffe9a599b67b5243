"""The jobs. They only wake: a job that is lost, doubled or late changes nothing but the time."""

from uuid import UUID

from procrastinate.contrib.django import app

from instances.services.wake import PLACE, TASK

from .queue import place
from .worker import reconcile


@app.task(name=TASK, queue="reconcile")
def reconcile_instance(*, instance_id: str) -> None:
    reconcile(UUID(instance_id))


@app.task(name=PLACE, queue="reconcile")
def place_from_the_line() -> None:
    place()
