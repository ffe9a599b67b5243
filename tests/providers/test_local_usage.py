"""What computes is seen on a real machine, whether anybody looks at it or not; what only draws itself is idle."""

import time
from datetime import timedelta

from django.conf import settings

from instances.reconcile.activity import busy

from .conftest import Machine

SECONDS = 12
LOOP = "while :; do :; done"


def working(machine: Machine, key: str) -> bool:
    """By two readings, as the workers take them, only closer together."""
    before, began = machine.provider.usage()[key].cpu_seconds, time.monotonic()
    assert before is not None
    time.sleep(SECONDS)
    elapsed = timedelta(seconds=time.monotonic() - began)
    readings = machine.provider.usage()
    return key in busy({key: before}, readings, elapsed, cores=settings.IDLE_LOAD, gpu=settings.IDLE_GPU)


def test_a_desktop_that_draws_its_clock_is_idle_and_a_computation_in_a_terminal_is_not(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.inside(spec, "nohup xfce4-terminal >/dev/null 2>&1 & sleep 1")
    time.sleep(8)  # until everything is drawn
    assert not working(machine, spec.id)
    machine.inside(spec, f"nohup timeout 60 bash -c '{LOOP}' >/dev/null 2>&1 & sleep 0")
    assert working(machine, spec.id)


def test_what_ended_still_counts(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    time.sleep(5)
    before = machine.provider.usage()[spec.id].cpu_seconds
    machine.inside(spec, f"nohup timeout 3 bash -c '{LOOP}' >/dev/null 2>&1 & sleep 0")
    time.sleep(6)
    after = machine.provider.usage()[spec.id].cpu_seconds
    assert before is not None and after is not None and after - before > 1


def test_one_that_does_not_run_is_left_out(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.provider.stop(spec.id)
    assert machine.provider.usage() == {}
