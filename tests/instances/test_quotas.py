"""Quotas: the arithmetic, what counts, who beats whom, and that no rush overshoots them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections
from hypothesis import given, settings
from hypothesis import strategies as st

from auth.access import Role
from auth.data import Part
from auth.models import AuditEvent, Participation, RoleGrant, User
from instances.errors import Invalid
from instances.models import Flavour, FlavourOffer, Instance, Quota
from instances.quotas import Amount, Bound, Limits, Scope, amount, most_generous, refusal, shortfall
from instances.services import quotas
from instances.services.launch import launch
from instances.services.start import start
from instances.states import Phase, State
from tests.facility import Facility, instance, person

WHO = "the administrators of this portal can change it."


def bound(limits: Limits, use: Amount, holder: str = "Your quota") -> Bound:
    return Bound(Scope.PERSON, holder, limits, use)


def test_a_refusal_says_which_limit_its_use_and_who_can_change_it() -> None:
    one = Amount(1, 4, 16384, {"A40": 1})
    had = Amount(2, 8, 32768, {"A40": 2})
    assert refusal([bound(Limits(instances=2), had)], one, who=WHO) == (
        "Your quota is 2 instances, and there are 2. Delete one first, or ask for more: " + WHO
    )
    assert refusal([bound(Limits(cores=10), had, "The quota of HC-1")], one, who=WHO) == (
        "The quota of HC-1 is 10 cores, 8 are in use, and this needs 4. Stop something first, or ask for more: " + WHO
    )
    assert "is 40 GB of memory, 32 GB are in use, and this needs 16 GB." in refusal(
        [bound(Limits(memory_mb=40960), had)], one, who=WHO
    )
    assert "is 2 A40 GPUs, 2 are in use, and this needs 1." in refusal(
        [bound(Limits(gpus={"A40": 2}), had)], one, who=WHO
    )
    assert "is 1 GPU, 2 are in use" in refusal([bound(Limits(gpus={"*": 1}), had)], one, who=WHO)
    assert shortfall([bound(Limits(cores=10), had)], one) == "Your quota leaves 2 cores."
    assert shortfall([bound(Limits(instances=2), had)], one) == "Your quota leaves no instance."


def test_what_is_not_wanted_is_not_refused() -> None:
    too_many = Amount(5, 50, 1, {"A40": 9})
    limits = Limits(instances=9, gpus={"A40": 1})
    assert not refusal([bound(limits, too_many)], Amount(1, 1, 1), who=WHO)
    assert refusal([bound(limits, too_many)], Amount(1, 1, 1, {"A40": 1}), who=WHO)
    assert not refusal([bound(limits, too_many)], Amount(1, 1, 1, {"A16": 1}), who=WHO)


def test_the_more_generous_of_two_limits_wins_resource_by_resource() -> None:
    one = Limits(2, 8, None, {"A40": 1, "*": 2})
    other = Limits(1, 16, 1024, {"A40": 3})
    assert most_generous([one, other]) == Limits(2, 16, None, {"A40": 3})


def test_amounts_are_said_with_their_units() -> None:
    assert [amount("memory_mb", 1536), amount("cores", 0.5, named=True), amount("gpu:*", 1, named=True)] == [
        "1.5 GB",
        "0.5 cores",
        "1 GPU",
    ]


sizes = st.builds(
    Amount,
    st.just(1),
    st.integers(1, 8),
    st.integers(1, 64),
    st.dictionaries(st.sampled_from(["A40", "A16"]), st.integers(1, 3), max_size=1),
)
limit = st.none() | st.integers(0, 30)
limits_of = st.builds(
    Limits, limit, limit, limit, st.dictionaries(st.sampled_from(["A40", "A16", "*"]), st.integers(0, 5))
)


@given(st.lists(sizes, max_size=30), st.lists(limits_of, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_is_admitted_one_after_the_other_never_exceeds_any_limit(
    asked: list[Amount], limits: list[Limits]
) -> None:
    bounds = [bound(each, Amount()) for each in limits]
    for wanted in asked:
        if not refusal(bounds, wanted, who=WHO):
            bounds = [replace(b, use=b.use + wanted) for b in bounds]
    for b in bounds:
        for resource, most in b.limits:
            assert b.use.of(resource) <= most
            assert b.rest(resource, most) == most - b.use.of(resource)


@given(sizes, st.lists(limits_of, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_merged_limit_admits_what_any_of_its_parts_admits(wanted: Amount, limits: list[Limits]) -> None:
    merged = bound(most_generous(limits), Amount())
    for each in limits:
        if not bound(each, Amount()).over(wanted):
            assert not merged.over(wanted)


def ask(facility: Facility, **changes: Any) -> dict[str, Any]:
    return {
        "experiments": [facility.running.pk],
        "environment": "desktop",
        "flavour": "s",
        "display": {"layout": "single"},
    } | changes


def limit_to(scope: Scope, **fields: Any) -> Quota:
    return Quota.objects.create(scope=scope, because="test", **fields)


@pytest.fixture
def a40(facility: Facility) -> Flavour:
    """There are many A40 here."""
    facility.cloud.capacity |= {"memory_mb": 1 << 30, "cores": 9999, "gpus": {"A40": 99}}
    facility.cloud.save()
    FlavourOffer.objects.create(flavour=facility.big, cloud=facility.cloud)
    return facility.big


@pytest.mark.django_db
class TestWhatCounts:
    def use(self, user: User, facility: Facility) -> dict[Scope, Amount]:
        return {b.scope: b.use for b in quotas.bounds_of(user.as_actor(), [facility.running])}

    def test_stopped_ones_count_as_instances_and_take_no_hardware(self, facility: Facility, a40: Flavour) -> None:
        limit_to(Scope.PERSON, instances=9)
        instance(facility, facility.ada, State.STOPPED)
        instance(facility, facility.ada, State.READY, flavour=a40)
        instance(facility, facility.ada, State.DELETED)
        assert self.use(facility.ada, facility)[Scope.PERSON] == Amount(2, 16, 32768, {"A40": 1})

    def test_what_is_being_stopped_counts_until_its_cloud_is_rid_of_it(self, facility: Facility) -> None:
        limit_to(Scope.PERSON, instances=9)
        row = instance(facility, facility.ada, State.STOPPING, phase=Phase.RUNNING)
        assert self.use(facility.ada, facility)[Scope.PERSON].cores == 1
        Instance.objects.filter(pk=row.pk).update(phase=Phase.STOPPED)
        assert self.use(facility.ada, facility)[Scope.PERSON].cores == 0

    def test_all_identities_of_a_person_count_together(self, facility: Facility) -> None:
        limit_to(Scope.PERSON, instances=2)
        User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
        instance(facility, facility.ada)
        instance(facility, facility.bob)
        for account in (facility.ada, User.objects.get(pk=facility.bob.pk)):
            assert self.use(account, facility)[Scope.PERSON].instances == 2
            with pytest.raises(Invalid, match="Your quota is 2 instances, and there are 2"):
                launch(acting_user=account, **ask(facility))

    def test_an_instance_with_two_experiments_of_a_proposal_counts_once(self, facility: Facility) -> None:
        limit_to(Scope.PROPOSAL, instances=5)
        limit_to(Scope.INSTRUMENT, cores=5)
        limit_to(Scope.GLOBAL, instances=9)
        other = facility.running
        other.pk, other.key = None, "again"
        other.save()
        row = instance(facility, facility.bob)
        row.experiments.add(other)
        use = self.use(facility.ada, facility)
        assert (use[Scope.PROPOSAL].instances, use[Scope.INSTRUMENT].cores, use[Scope.GLOBAL].instances) == (1, 1, 1)


@pytest.mark.django_db
class TestWhoBeatsWhom:
    def own(self, user: User) -> Bound:
        return next(b for b in quotas.bounds_of(user.as_actor()) if b.scope is Scope.PERSON)

    def test_a_role_replaces_the_default_and_the_most_generous_wins(self, facility: Facility) -> None:
        limit_to(Scope.PERSON, instances=1)
        limit_to(Scope.ROLE, role=Role.INSTRUMENT_SCIENTIST, instances=3)
        limit_to(Scope.ROLE, role=Role.IT_SUPPORT, instances=7, cores=5)
        assert self.own(facility.ada).limits == Limits(instances=1)
        assert self.own(facility.sci).limits == Limits(instances=3)
        RoleGrant.objects.create(user=facility.sci, role=Role.IT_SUPPORT, because="test", source="test")
        merged = self.own(facility.sci)
        assert merged.limits == Limits(instances=7)
        assert merged.holder == "Your quota as IT support and Instrument scientist"

    def test_a_person_s_own_beats_all_even_where_it_is_smaller(self, facility: Facility) -> None:
        limit_to(Scope.PERSON, instances=5)
        limit_to(Scope.ROLE, role=Role.INSTRUMENT_SCIENTIST, instances=9)
        limit_to(Scope.PERSON, user=facility.sci, instances=2)
        assert self.own(facility.sci).limits == Limits(instances=2)

    def test_a_proposal_s_own_beats_the_default_of_all(self, facility: Facility) -> None:
        limit_to(Scope.PROPOSAL, instances=1)
        limit_to(Scope.PROPOSAL, proposal=facility.running.proposal, instances=4)
        found = quotas.bounds_of(facility.ada.as_actor(), [facility.running, facility.other])
        assert {b.holder: b.limits.instances for b in found} == {"The quota of HC-1": 4, "The quota of HC-2": 1}

    def test_without_quotas_nothing_is_limited(self, facility: Facility) -> None:
        assert quotas.bounds_of(facility.ada.as_actor(), [facility.running]) == []


@pytest.mark.django_db
def test_a_refused_launch_leaves_nothing(facility: Facility, settings: Any) -> None:
    settings.FACILITY = settings.FACILITY | {"helpdesk": "help@example.org"}
    limit_to(Scope.PROPOSAL, cores=1)
    instance(facility, facility.bob)
    with pytest.raises(Invalid) as refused:
        launch(acting_user=facility.ada, **ask(facility))
    assert refused.value.fields == {
        "flavour": "The quota of HC-1 is 1 core, 1 is in use, and this needs 1. Stop something first, or ask for more:"
        " the administrators of this portal can change it. The helpdesk (help@example.org) passes your request on."
    }
    assert Instance.objects.count() == 1 and not AuditEvent.objects.exists()


@pytest.mark.django_db
def test_a_start_needs_hardware_and_no_further_instance(facility: Facility) -> None:
    limit_to(Scope.PERSON, instances=1, cores=1)
    row, other = (instance(facility, facility.ada, State.STOPPED) for _ in range(2))
    assert start(row.pk, acting_user=facility.ada).state == State.QUEUED
    with pytest.raises(Invalid, match="Your quota is 1 core, 1 is in use"):
        start(other.pk, acting_user=facility.ada)


@pytest.mark.django_db
def test_checking_costs_a_bounded_number_of_queries(facility: Facility, django_assert_max_num_queries: Any) -> None:
    for scope in Scope:
        limit_to(scope, instances=99, role=Role.AUDITOR if scope is Scope.ROLE else "")
    actor = facility.ada.as_actor()
    for _ in range(20):
        instance(facility, facility.ada)
    with django_assert_max_num_queries(5):
        quotas.check(actor, facility.small, [facility.running])


def rush(count: int, act: Callable[[int], object]) -> tuple[int, list[str]]:
    """`count` at the same moment: how many were let in, and what the others were told."""
    barrier, told, done = threading.Barrier(count), [], []

    def one(number: int) -> None:
        barrier.wait()
        try:
            done.append(act(number))
        except Invalid as error:
            told.append(str(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done), told


@pytest.fixture
def crowd(facility: Facility) -> Iterator[list[User]]:
    people = [person(f"p{n}", f"Person {n}") for n in range(50)]
    Participation.objects.bulk_create(
        Participation(user=user, experiment=facility.running, part=Part.PARTICIPANT) for user in people
    )
    yield people


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("scope", "fields", "sentence"),
    [
        (Scope.GLOBAL, {"instances": 10}, "The quota of everybody together is 10 instances, and there are 10."),
        (Scope.PROPOSAL, {"cores": 10}, "The quota of HC-1 is 10 cores, 10 are in use, and this needs 1."),
        (Scope.INSTRUMENT, {"memory_mb": 10240}, "The quota of ID11 is 10 GB of memory, 10 GB are in use"),
    ],
)
def test_of_50_who_launch_at_once_a_quota_of_10_lets_in_10(
    facility: Facility, crowd: list[User], scope: Scope, fields: dict[str, Any], sentence: str
) -> None:
    limit_to(scope, **fields)
    let_in, told = rush(50, lambda n: launch(acting_user=crowd[n], **ask(facility)))
    assert (let_in, len(told)) == (10, 40)
    assert all(sentence in words and WHO in words for words in told)
    assert Instance.objects.count() == 10
    # The machine holds 8 of them; the others are in line, within the quota.
    assert Instance.objects.filter(waiting_since__isnull=False, cloud=None).count() == 2
    assert AuditEvent.objects.filter(action="instance.launch").count() == 10


@pytest.mark.django_db(transaction=True)
def test_of_50_launches_of_one_person_a_quota_of_10_lets_in_10(facility: Facility) -> None:
    limit_to(Scope.PERSON, instances=10)
    let_in, told = rush(50, lambda n: launch(acting_user=facility.ada, **ask(facility)))
    assert (let_in, len(told)) == (10, 40)
    assert set(told) == {"Your quota is 10 instances, and there are 10. Delete one first, or ask for more: " + WHO}


@pytest.mark.django_db(transaction=True)
def test_of_50_who_want_a_gpu_at_once_10_get_one(facility: Facility, crowd: list[User], a40: Flavour) -> None:
    limit_to(Scope.GLOBAL, gpus={"A40": 10})
    let_in, told = rush(50, lambda n: launch(acting_user=crowd[n], **ask(facility, flavour=a40.slug)))
    assert (let_in, len(told)) == (10, 40)
    assert all("is 10 A40 GPUs, 10 are in use, and this needs 1." in words for words in told)


@pytest.mark.django_db(transaction=True)
def test_launches_and_starts_at_once_share_what_a_quota_leaves(facility: Facility) -> None:
    limit_to(Scope.PERSON, cores=5)
    stopped = [instance(facility, facility.ada, State.STOPPED) for _ in range(10)]

    def act(number: int) -> object:
        if number % 2:
            return start(stopped[number // 2].pk, acting_user=facility.ada)
        return launch(acting_user=facility.ada, **ask(facility))

    let_in, told = rush(20, act)
    assert (let_in, len(told)) == (5, 15)
