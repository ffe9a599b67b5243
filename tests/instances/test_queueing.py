"""Whose turn it is and who goes where: examples, and what holds for every line."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.queueing import CORES, MEMORY, UNLIMITED, Waiter, assign, expected, gpu, in_turn, lacks
from instances.services.queue import Turn, ordinal

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)
A40 = gpu("A40")


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def waiter(number: int, person: int = 1, since: float = 0, clouds: tuple[int, ...] = (1,), **need: float) -> Waiter:
    wanted = {MEMORY if k == "memory" else CORES if k == "cores" else gpu(k): v for k, v in need.items()}
    kind = next((k for k in need if k not in ("memory", "cores")), "")
    return Waiter(UUID(int=number), person, at(since), {MEMORY: 1} | wanted, clouds, kind)


def order(line: list[Waiter]) -> list[int]:
    return [w.id.int for w in line]


def test_alone_in_line_one_s_own_come_in_the_order_of_their_coming() -> None:
    assert order(in_turn([waiter(2, since=5), waiter(1, since=1)], {})) == [1, 2]


def test_people_take_turns_however_many_one_of_them_has_brought() -> None:
    crowd = [waiter(n, person=1, since=0) for n in (1, 2, 3)]
    assert order(in_turn([*crowd, waiter(9, person=2, since=7)], {})) == [1, 9, 2, 3]


def test_whoever_has_just_been_served_lets_those_in_line_go_first() -> None:
    waiting = [waiter(2, person=1, since=0), waiter(9, person=2, since=5), waiter(10, person=3, since=30)]
    assert order(in_turn(waiting, {1: at(10)})) == [9, 2, 10]


def test_a_line_drains_without_anybody_being_served_twice_before_another_once() -> None:
    waiting = [waiter(n, person=1, since=0) for n in range(5)] + [waiter(10 + n, person=2, since=1) for n in range(5)]
    served: dict[int, datetime] = {}
    got = []
    for minute in range(10, 20):
        first = in_turn(waiting, served)[0]
        waiting.remove(first)
        served[first.person] = at(minute)
        got.append(first.person)
    assert got == [1, 2] * 5


def test_the_preferred_cloud_is_filled_first_and_the_other_is_fallen_back_to() -> None:
    line = [waiter(n, clouds=(2, 1)) for n in (1, 2, 3)]
    assert assign(line, {1: {MEMORY: 5}, 2: {MEMORY: 2}}) == {UUID(int=1): 2, UUID(int=2): 2, UUID(int=3): 1}


def test_a_cloud_that_takes_nobody_is_not_waited_for_where_another_has_room() -> None:
    assert assign([waiter(1, clouds=(2, 1))], {1: {MEMORY: 1}}) == {UUID(int=1): 1}
    assert assign([waiter(1, clouds=(2,))], {1: {MEMORY: 1}}) == {}


def test_nobody_behind_takes_the_memory_that_the_first_lacks() -> None:
    assert assign([waiter(1, memory=64), waiter(2, memory=8)], {1: {MEMORY: 32}}) == {}


def test_whoever_needs_something_else_goes_past() -> None:
    line = [waiter(1, memory=32, A40=1), waiter(2, memory=8), waiter(3, memory=8, A16=1)]
    placed = assign(line, {1: {MEMORY: 64, A40: 0, gpu("A16"): 1}})
    assert placed == {UUID(int=2): 1, UUID(int=3): 1}


def test_the_memory_that_goes_with_the_awaited_gpu_is_kept_with_it() -> None:
    line = [waiter(1, memory=32, A40=1), waiter(2, memory=8)]
    assert assign(line, {1: {MEMORY: 36, A40: 0}}) == {}
    assert assign(line, {1: {MEMORY: 40, A40: 0}}) == {UUID(int=2): 1}


def test_a_long_line_for_one_gpu_keeps_no_more_memory_than_its_first() -> None:
    line = [*(waiter(n, person=n, memory=32, A40=1) for n in range(1, 50)), waiter(99, person=99, memory=30)]
    assert assign(line, {1: {MEMORY: 64, A40: 0}}) == {UUID(int=99): 1}


def test_the_estimate_is_when_enough_has_ended() -> None:
    needs = [{A40: 1, MEMORY: 32}, {A40: 1, MEMORY: 32}]
    endings = [(at(n * 60), {A40: 1, MEMORY: 32}) for n in (3, 1, 2)]
    assert expected(needs, [{A40: 0, MEMORY: 0}], endings) == at(120)
    assert expected(needs * 2, [{A40: 0, MEMORY: 0}], endings) is None
    assert expected(needs, [{A40: 2, MEMORY: 64}], endings) is None


@pytest.mark.parametrize(
    ("number", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_positions_are_said_as_people_say_them(number: int, words: str) -> None:
    assert ordinal(number) == words


def test_a_turn_names_what_is_waited_for() -> None:
    assert Turn(2, 5, "A40").what == "2nd in line for an A40"
    assert Turn(1, 1, "V100").what == "1st in line for a V100"
    assert Turn(3, 4).what == "3rd in line for a place"


needs = st.builds(
    dict,
    memory=st.integers(1, 8),
    cores=st.integers(1, 4),
    A40=st.integers(1, 2) | st.none(),
).map(lambda d: {k: v for k, v in d.items() if v is not None})
waiters = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 20), needs, st.permutations([1, 2]).map(tuple)), max_size=12
).map(lambda rows: [waiter(n, who, since, clouds, **need) for n, (who, since, need, clouds) in enumerate(rows)])
rooms = st.fixed_dictionaries(
    {
        cloud: st.fixed_dictionaries(
            {MEMORY: st.integers(0, 20), CORES: st.just(UNLIMITED) | st.integers(0, 12), A40: st.integers(0, 2)}
        )
        for cloud in (1, 2)
    }
)


@given(waiters, rooms)
@settings(max_examples=300, deadline=None)
def test_no_cloud_is_ever_promised_more_than_it_has(waiting: list[Waiter], free: dict[int, dict[str, float]]) -> None:
    placed = assign(in_turn(waiting, {}), free)
    by_id = {w.id: w for w in waiting}
    used: dict[int, Counter[str]] = {cloud: Counter() for cloud in free}
    for pk, cloud in placed.items():
        assert cloud in by_id[pk].clouds
        used[cloud].update(by_id[pk].need)
    for cloud, room in free.items():
        assert not lacks(used[cloud], room)


@given(waiters, rooms)
@settings(max_examples=300, deadline=None)
def test_the_first_gets_a_place_wherever_there_is_one(waiting: list[Waiter], free: dict[int, dict[str, float]]) -> None:
    line = in_turn(waiting, {})
    placed = assign(line, free)
    if line:
        somewhere = any(not lacks(line[0].need, free[cloud]) for cloud in line[0].clouds)
        assert (line[0].id in placed) == somewhere


@given(waiters, rooms)
@settings(max_examples=300, deadline=None)
def test_those_behind_never_take_what_the_first_who_waits_lacks(
    waiting: list[Waiter], free: dict[int, dict[str, float]]
) -> None:
    line = in_turn(waiting, {})
    placed = assign(line, free)
    first = next((w for w in line if w.id not in placed), None)
    if first is None:
        return
    before = line[: line.index(first)]
    for cloud in first.clouds:
        left = dict(free[cloud])
        for other in before:
            if placed.get(other.id) == cloud:
                left = {k: v - other.need.get(k, 0) for k, v in left.items()}
        for missing in lacks(first.need, left):
            assert not any(placed.get(w.id) == cloud and missing in w.need for w in line[line.index(first) :])


@given(waiters)
@settings(max_examples=200, deadline=None)
def test_everybody_in_line_is_served_before_anybody_is_served_twice(waiting: list[Waiter]) -> None:
    people = {w.person for w in waiting}
    served: dict[int, datetime] = {}
    got: list[int] = []
    for minute in range(100, 100 + len(people)):
        first = in_turn(waiting, served)[0]
        waiting = [w for w in waiting if w.id != first.id]
        served[first.person] = at(minute)
        got.append(first.person)
    assert set(got) == people
