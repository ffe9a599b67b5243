"""What every provider promises. A new one joins by adding its fixture to PROVIDERS.

`--openstack` runs it against the OpenStack testbed in their place.
"""

import multiprocessing
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import pytest

from instances.errors import ProviderError
from instances.providers.base import Observed, Provider, Spec
from instances.states import Phase, Progress

PROVIDERS = ["machine", "faulty"]


class Rig(Protocol):
    """A provider together with what a test needs around it."""

    provider: Provider
    reports: list[tuple[Progress, str]]

    def spec(self, image: str = ...) -> Spec: ...
    def ensure(self, spec: Spec) -> Observed: ...
    def run(self, spec: Spec) -> Spec: ...
    def wait(self, instance_id: str, phase: Phase) -> Observed: ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    providers = ["openstack"] if metafunc.config.getoption("openstack") else PROVIDERS
    if "rig" in metafunc.fixturenames:
        metafunc.parametrize("rig", providers, indirect=True)


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    yield request.getfixturevalue(request.param)


def test_what_was_never_made_is_absent(rig: Rig) -> None:
    assert rig.provider.observe(uuid.uuid4().hex).phase is Phase.ABSENT
    assert not rig.provider.observe_all()


def test_capacity_names_the_images_that_can_be_started(rig: Rig) -> None:
    capacity = rig.provider.capacity()
    assert {"desktop", "jupyter"} <= capacity.images, capacity.notes
    assert capacity.cores >= 1 and capacity.memory_mb > 1000


def test_a_check_finds_nothing_to_put_right(rig: Rig) -> None:
    assert [finding for finding in rig.provider.check([rig.spec()]) if not finding.ok] == []


def test_ensured_it_runs_and_all_its_apps_answer(rig: Rig) -> None:
    spec = rig.spec()
    first = rig.ensure(spec)
    assert first.phase in (Phase.STARTING, Phase.RUNNING) and first.generation == 1
    running = rig.wait(spec.id, Phase.RUNNING)
    assert running.apps == {"desktop"}
    assert [(found.id, found.observed) for found in rig.provider.observe_all()] == [(spec.id, running)]


def test_its_labels_are_kept_with_it_in_the_cloud(rig: Rig) -> None:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": "1,2"}
    rig.run(replace(rig.spec(), labels=labels))
    assert [found.labels for found in rig.provider.observe_all()] == [labels]


def test_each_step_of_a_start_is_reported_with_a_line(rig: Rig) -> None:
    rig.ensure(rig.spec())
    assert [step for step, _ in rig.reports] == [Progress.CREATING, Progress.MOUNTING, Progress.STARTING]
    assert all(line for _, line in rig.reports)


def test_ensured_again_it_is_adopted_and_nothing_starts(rig: Rig) -> None:
    spec = rig.run(rig.spec())
    rig.reports.clear()
    assert rig.ensure(spec).phase is Phase.RUNNING
    assert rig.reports == []


def test_a_higher_generation_replaces_the_running_one(rig: Rig) -> None:
    spec = rig.run(rig.spec())
    rig.run(replace(spec, generation=2))
    assert rig.provider.observe(spec.id).generation == 2


def test_a_lower_generation_changes_nothing(rig: Rig) -> None:
    spec = rig.run(replace(rig.spec(), generation=5))
    assert rig.ensure(replace(spec, generation=4)).generation == 5


def test_stopped_it_stays_stopped_until_a_higher_generation_is_wished(rig: Rig) -> None:
    spec = rig.run(rig.spec())
    rig.provider.stop(spec.id)
    assert rig.provider.observe(spec.id).phase is Phase.STOPPED
    assert rig.ensure(spec).phase is Phase.STOPPED
    rig.run(replace(spec, generation=2))


def test_stop_and_delete_may_be_repeated_and_may_meet_nothing(rig: Rig) -> None:
    nobody = uuid.uuid4().hex
    rig.provider.stop(nobody)
    rig.provider.delete(nobody)
    spec = rig.run(rig.spec())
    for _ in range(2):
        rig.provider.stop(spec.id)
    for _ in range(2):
        rig.provider.delete(spec.id)
    assert rig.provider.observe(spec.id).phase is Phase.ABSENT


def test_an_app_that_is_not_in_the_environment_has_no_endpoint(rig: Rig) -> None:
    spec = rig.run(rig.spec())
    with pytest.raises(ProviderError):
        rig.provider.endpoint(spec.id, "jupyter")
    assert rig.provider.endpoint(spec.id, "desktop").secret not in repr(rig.provider.endpoint(spec.id, "desktop"))


def test_an_unknown_image_is_refused_for_good(rig: Rig) -> None:
    with pytest.raises(ProviderError) as refused:
        rig.ensure(rig.spec("no-such-image"))
    assert not refused.value.retry
    assert not rig.provider.observe_all()


def test_two_workers_at_once_make_one_instance(rig: Rig) -> None:
    spec = rig.spec()
    with ThreadPoolExecutor(4) as workers:
        results = list(workers.map(rig.ensure, [spec] * 4))
    assert {observed.generation for observed in results} == {1}
    assert [step for step, _ in rig.reports].count(Progress.STARTING) == 1


def test_another_process_sees_the_same(rig: Rig) -> None:
    spec = rig.run(rig.spec())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(rig.provider.observe, (spec.id,)).phase is Phase.RUNNING
