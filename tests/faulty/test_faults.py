"""The faulty cloud lies as it is told to, and its provider calls an error an error and an absence an absence."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from instances.errors import ProviderError
from instances.states import Phase
from tests.portal import until

from .faults import Fault, Plan, Storm, Verb
from .process import FaultyCloud
from .provider import FaultyProvider, wanted
from .rig import Rig


@pytest.fixture
def cloud() -> Iterator[FaultyCloud]:
    with FaultyCloud(seed=7, patience=0.3) as running:
        yield running


@pytest.fixture
def rig(cloud: FaultyCloud) -> Rig:
    return Rig(FaultyProvider("faulty", cloud.settings | {"deployment": "tests"}))


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.HANG])
def test_what_failed_before_its_effect_has_none(cloud: FaultyCloud, rig: Rig, fault: Fault) -> None:
    cloud.has_faults({fault: 1.0})
    with pytest.raises(ProviderError) as failed:
        rig.provider._ask("POST", "/servers", wanted(rig.spec(), "tests"))
    assert failed.value.retry and not cloud.servers()


@pytest.mark.parametrize("fault", [Fault.AFTER, Fault.LOST])
def test_what_failed_after_its_effect_is_found_and_not_made_again(cloud: FaultyCloud, rig: Rig, fault: Fault) -> None:
    spec = rig.run(rig.spec())
    cloud.has_faults({fault: 1.0})
    (server,) = cloud.servers()
    with pytest.raises(ProviderError):
        rig.provider._ask("POST", f"/servers/{server['reference']}/stop", {})
    cloud.recovers()
    assert rig.provider.observe(spec.id).phase is Phase.STOPPED
    assert rig.ensure(replace(spec, generation=2)).reference == server["reference"]


def test_a_creation_may_take_effect_long_after_it_was_given_up(cloud: FaultyCloud, rig: Rig) -> None:
    spec = rig.spec()
    cloud.has_faults({Fault.LATE: 1.0})
    with pytest.raises(ProviderError):
        rig.provider._ask("POST", "/servers", wanted(spec, "tests"))
    assert not cloud.servers()
    cloud.recovers()
    rig.ensure(spec)
    until(lambda: len(cloud.servers()) == 2, what="the late one")
    assert [found.id for found in rig.provider.observe_all()] == [spec.id] * 2


def test_two_for_one_request_are_both_listed_and_one_of_them_can_be_removed(cloud: FaultyCloud, rig: Rig) -> None:
    spec = rig.spec()
    cloud.has_faults({Fault.TWICE: 1.0})
    rig.ensure(spec)
    cloud.recovers()
    kept = rig.provider.observe(spec.id).reference
    for found in rig.provider.observe_all():
        if found.observed.reference != kept:
            rig.provider.remove(spec.id, found.observed.reference)
    assert [found.observed.reference for found in rig.provider.observe_all()] == [kept]


def test_a_lie_about_what_is_there_looks_like_the_truth(cloud: FaultyCloud, rig: Rig) -> None:
    spec = rig.run(rig.spec())
    cloud.has_faults({Fault.ABSENT: 1.0})
    assert rig.provider.observe(spec.id).phase is Phase.ABSENT
    assert not rig.provider.observe_all()
    rig.provider.delete(spec.id)
    cloud.recovers()
    assert rig.provider.observe(spec.id).phase is Phase.RUNNING


@pytest.mark.parametrize("storm", [Storm.DOWN, Storm.HANG])
def test_no_answer_is_an_error_and_never_an_absence(cloud: FaultyCloud, rig: Rig, storm: Storm) -> None:
    cloud.storms(storm)
    for ask in (rig.provider.capacity, rig.provider.observe_all, lambda: rig.provider.observe("0" * 32)):
        with pytest.raises(ProviderError) as failed:
            ask()
        assert failed.value.retry


def test_the_same_seed_makes_the_same_calls_faulty() -> None:
    def drawn(seed: int) -> list[Fault | None]:
        plan = Plan(seed)
        plan.shares = {Fault.SLOW: 0.2, Fault.LOST: 0.2, Fault.TWICE: 0.2}
        return [plan.next(verb) for verb in (Verb.CREATE, Verb.FIND) for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {Fault.SLOW, Fault.LOST, Fault.TWICE, None} == set(drawn(1))


def test_another_deployment_s_servers_are_invisible(cloud: FaultyCloud, rig: Rig) -> None:
    spec = rig.spec()
    theirs = FaultyProvider("faulty", cloud.settings | {"deployment": "theirs"})
    theirs.ensure(spec, lambda step, line: None)
    assert rig.provider.observe(spec.id).phase is Phase.ABSENT and not rig.provider.observe_all()
    rig.provider.delete(spec.id)
    assert theirs.observe(spec.id).phase is Phase.RUNNING
