"""What a cloud refuses and fails at, and the words in which the owner hears of it."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from instances.errors import ProviderError
from instances.providers.base import Spec
from instances.providers.openstack.provider import OpenStackProvider
from instances.states import Phase

from .rig import PATIENCE, Rig

GPU = {"cores": 4, "memory_mb": 8192, "gpu_count": 1}


def test_a_quota_that_is_used_up_is_named(openstack: Rig) -> None:
    compute = openstack.testbed.admin.compute
    project = openstack.provider.door.project()
    openstack.run(openstack.spec())
    used = openstack.provider.door.get("compute", "/limits")["limits"]["absolute"]["totalInstancesUsed"]
    compute.update_quota_set(project, instances=used)
    try:
        with pytest.raises(ProviderError) as refused:
            openstack.ensure(openstack.spec())
    finally:
        compute.revert_quota_set(project)
    assert refused.value.reason == f"The portal's quota in the cloud is used up: machines ({used} of {used} in use)."
    assert not refused.value.retry


def test_no_room_for_a_gpu_is_told_by_its_model(openstack: Rig) -> None:
    spec = openstack.spec(flavour="a40-many", gpu_model="A40", **GPU)
    openstack.ensure(spec)
    assert openstack.wait(spec.id, Phase.FAILED).message == "No A40 is free now."


def test_a_machine_that_never_ran_is_made_anew_by_the_next_start(openstack: Rig) -> None:
    spec = openstack.spec()
    with openstack.testbed.faults(fail="abort", reason="The GPU fell off the bus"):
        openstack.ensure(spec)
        failed = openstack.wait(spec.id, Phase.FAILED)
    assert "The GPU fell off the bus" in failed.message
    openstack.run(replace(spec, generation=2))
    assert openstack.provider.observe(spec.id).reference != failed.reference


def test_a_lost_race_for_a_device_is_run_again(openstack: Rig) -> None:
    """Nova says so when it has tried all hosts; the second build finds the device free."""
    spec = openstack.spec(flavour="a16", gpu_model="A16", **GPU)
    with openstack.testbed.faults(fail="reschedule", reason="Claim pci failed"):
        openstack.ensure(spec)
        lost = openstack.wait(spec.id, Phase.STOPPED)
    assert (lost.generation, lost.message) == (0, "No A16 is free now.")
    openstack.run(spec)


def test_a_race_that_is_lost_each_time_ends(openstack: Rig) -> None:
    spec = openstack.spec(flavour="a16", gpu_model="A16", **GPU)
    with openstack.testbed.faults(fail="reschedule", reason="Claim pci failed", times=10):
        for _ in range(2):
            openstack.ensure(spec)
            openstack.wait(spec.id, Phase.STOPPED)
        openstack.ensure(spec)
        assert openstack.wait(spec.id, Phase.FAILED).message == "No A16 is free now."


def test_gpus_are_counted_by_model_and_none_is_promised_that_is_not_there(openstack: Rig) -> None:
    def free() -> dict[str, int]:
        return dict(OpenStackProvider("testbed", openstack.settings()).capacity().gpus)

    assert free() == {"A40": 8, "A16": 8}
    specs = [openstack.spec(flavour="a40", gpu_model="A40", **GPU) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(openstack.run, specs))
    assert free()["A40"] == 8, "what is ours counts as free: the portal subtracts what it has promised"
    other = OpenStackProvider("testbed", openstack.settings(deployment="another"))
    assert other.capacity().gpus["A40"] == 0
    ninth = openstack.spec(flavour="a40", gpu_model="A40", **GPU)
    openstack.ensure(ninth)
    assert openstack.wait(ninth.id, Phase.FAILED).message == "No A40 is free now."


def test_without_a_look_into_placement_its_gpus_are_not_offered(openstack: Rig) -> None:
    capacity = OpenStackProvider("testbed", openstack.settings(placement_cloud="")).capacity()
    assert capacity.gpus == {"A16": 8}
    assert "A40 GPUs are not offered" in capacity.notes[0]


def test_a_slow_build_can_be_watched_and_deleted(openstack: Rig) -> None:
    spec = openstack.spec()
    with openstack.testbed.faults(delay=8):
        began = time.monotonic()
        openstack.ensure(spec)
        assert time.monotonic() - began < 8, "nobody waits for a build"
        assert openstack.provider.observe(spec.id).phase is Phase.STARTING
        openstack.provider.delete(spec.id)
    assert openstack.provider.observe(spec.id).phase is Phase.ABSENT


def test_a_silent_cloud_answers_again_when_it_is_back(openstack: Rig) -> None:
    spec = openstack.run(openstack.spec())
    openstack.testbed.kill("keystone")
    openstack.testbed.kill("nova")
    try:
        fresh = OpenStackProvider("testbed", openstack.settings())
        for ask in (fresh.observe_all, fresh.capacity, lambda: fresh.observe(spec.id), lambda: fresh.stop(spec.id)):
            with pytest.raises(ProviderError) as silent:
                ask()
            assert silent.value.retry
    finally:
        openstack.testbed.start("keystone")
        openstack.testbed.start("nova")
    assert [found.id for found in fresh.observe_all()] == [spec.id]


def test_wrong_credentials_are_told_and_nothing_is_absent(openstack: Rig) -> None:
    provider = OpenStackProvider("testbed", openstack.settings(cloud="", environment="VISA_TEST_"))
    with pytest.raises(ProviderError, match="VISA_TEST_AUTH_URL"):
        provider.observe("0" * 32)


def _dies_after_the_request(provider: OpenStackProvider, spec: Spec) -> None:
    """As a worker that is killed when nova has the request and nobody has the answer."""
    post = provider.door.post

    def last(service: str, path: str, *arguments: object, **more: object) -> None:
        post(service, path, *arguments, **more)
        if path == "/servers":
            os.kill(os.getpid(), signal.SIGKILL)

    provider.door.post = last
    provider.ensure(spec, lambda step, line: None)


def test_a_worker_killed_between_request_and_note_leaves_exactly_one_server(openstack: Rig) -> None:
    spec = openstack.spec()
    process = multiprocessing.get_context("spawn").Process(
        target=_dies_after_the_request, args=(openstack.provider, spec)
    )
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    openstack.run(spec)
    assert [found.id for found in openstack.provider.observe_all()] == [spec.id]
    project = openstack.testbed.admin.compute.servers()
    assert len([found for found in project if found.metadata.get("visa.instance") == spec.id]) == 1


def _ensured(provider: OpenStackProvider, spec: Spec) -> str:
    return provider.ensure(spec, lambda step, line: None).reference


def test_two_processes_at_once_end_with_one_server(openstack: Rig) -> None:
    spec = openstack.spec()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.starmap(_ensured, [(openstack.provider, spec)] * 2)
    openstack.wait(spec.id, Phase.RUNNING)
    kept = openstack.provider.observe(spec.id).reference
    assert kept in (first, second)
    for found in openstack.provider.observe_all():
        if found.observed.reference != kept:
            openstack.provider.remove(spec.id, found.observed.reference)
    assert [found.id for found in openstack.provider.observe_all()] == [spec.id]


def test_a_hundred_launches_at_once_all_arrive(openstack: Rig) -> None:
    specs = [openstack.spec() for _ in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(openstack.ensure, specs))
    until = time.monotonic() + 600
    while True:
        phases = [found.observed.phase for found in openstack.provider.observe_all()]
        if phases.count(Phase.RUNNING) == 100:
            break
        assert time.monotonic() < until, {phase: phases.count(phase) for phase in set(phases)}
        time.sleep(1)
    assert {found.id for found in openstack.provider.observe_all()} == {spec.id for spec in specs}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda spec: openstack.provider.delete(spec.id), specs))
    assert not openstack.provider.observe_all()
