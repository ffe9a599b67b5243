"""What computes, by the readings of its cloud: differences count, gaps count as work."""

from datetime import timedelta

import pytest
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Instance, Load
from instances.providers.base import Usage
from instances.reconcile import activity
from instances.states import State
from tests.facility import Facility, instance

pytestmark = pytest.mark.django_db
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Meter:
    """A cloud of which only the use is asked."""

    def __init__(self) -> None:
        self.readings: dict[str, Usage] = {}
        self.silent = False
        self.asked = 0

    def usage(self) -> dict[str, Usage]:
        self.asked += 1
        if self.silent:
            raise ProviderError("the cloud is silent", retry=True)
        return self.readings


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    made = Meter()
    monkeypatch.setattr(activity, "provider_for", lambda cloud: made)
    return made


def look(passed: timedelta = MINUTE) -> int:
    """As if so much time had passed since the last look."""
    for load in Load.objects.all():
        Load.objects.filter(pk=load.pk).update(
            claimed=load.claimed and load.claimed - passed, at=load.at and load.at - passed
        )
    return activity.look()


def old(facility: Facility, **fields: object) -> Instance:
    return instance(facility, facility.ada, active_at=timezone.now() - 50 * HOUR, **fields)


def active(row: Instance) -> bool:
    return bool(Instance.objects.get(pk=row.pk).active_at > timezone.now() - MINUTE)


def test_three_seconds_in_a_minute_are_work_and_less_is_a_clock(facility: Facility, meter: Meter) -> None:
    busy, idle = old(facility), old(facility)
    meter.readings = {busy.key: Usage(100.0), idle.key: Usage(100.0)}
    look()
    Instance.objects.update(active_at=timezone.now() - 50 * HOUR)
    meter.readings = {busy.key: Usage(103.1), idle.key: Usage(100.4)}
    assert look() == 1
    assert active(busy) and not active(idle)


def test_a_busy_gpu_is_work_and_one_that_is_not_known_is_none(facility: Facility, meter: Meter) -> None:
    before = {"a": 5.0, "b": 5.0, "c": 5.0}
    readings = {"a": Usage(5.0, gpu=0.9), "b": Usage(5.0, gpu=0.01), "c": Usage(5.0), "d": Usage(None)}
    assert activity.busy(before, readings, MINUTE, cores=0.05, gpu=0.05) == {"a"}


def test_what_nobody_saw_counts_as_work(facility: Facility, meter: Meter) -> None:
    row, new = old(facility), old(facility)
    meter.readings = {row.key: Usage(1.0)}
    look()
    assert active(row)
    Instance.objects.update(active_at=timezone.now() - 50 * HOUR)
    meter.readings = {row.key: Usage(1.0), new.key: Usage(0.0)}
    look()
    assert not active(row) and active(new), "the first reading of one says nothing"
    Instance.objects.update(active_at=timezone.now() - 50 * HOUR)
    assert look(HOUR) == 2 and active(row), "a gap of an hour"


def test_a_silent_cloud_is_not_known_to_be_idle(facility: Facility, meter: Meter) -> None:
    row = old(facility)
    meter.readings = {row.key: Usage(1.0)}
    look()
    load, now = Load.objects.get(), timezone.now()
    assert activity.known(load, row.key, now) and not activity.known(load, "0" * 32, now)
    meter.silent = True
    look()
    assert not activity.known(Load.objects.get(), row.key, timezone.now() + HOUR)


def test_a_cloud_is_asked_once_a_minute_whoever_comes_by(facility: Facility, meter: Meter) -> None:
    for _ in range(3):
        activity.look()
    assert meter.asked == 1


def test_only_what_moves_is_written_and_only_what_runs(facility: Facility, meter: Meter) -> None:
    recent = instance(facility, facility.ada, active_at=timezone.now() - 2 * MINUTE)
    stopped = old(facility, state=State.STOPPED)
    before = recent.active_at
    meter.readings = {recent.key: Usage(1.0), stopped.key: Usage(1.0)}
    look()
    recent.refresh_from_db()
    assert recent.active_at == before and not active(stopped)
