"""What a list is taken to mean: whatever it says, nobody's instance is lost by it."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from instances.providers.base import Found, Observed
from instances.reconcile.sift import FEW, SHARE, Known, doubt_of, primary, sift
from instances.states import Desired, Phase, State

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
phases = st.sampled_from([Phase.STARTING, Phase.RUNNING, Phase.STOPPED, Phase.FAILED])
keys = st.integers(0, 30).map(lambda number: f"{number:032x}")
found = st.builds(
    Found,
    id=keys,
    observed=st.builds(
        Observed, phase=phases, generation=st.integers(0, 3), reference=st.sampled_from(["", "a", "b", "c"])
    ),
    created=st.one_of(st.none(), st.integers(0, 9).map(lambda days: LONG_AGO + timedelta(days=days))),
)
known = st.builds(
    Known,
    key=keys,
    state=st.sampled_from([state for state in State if state is not State.DELETED]),
    desired=st.sampled_from(Desired),
    phase=st.sampled_from(Phase),
    generation=st.integers(1, 3),
    seen_generation=st.integers(0, 3),
    apps=st.just(()),
    reference=st.sampled_from(["", "a", "b"]),
    missing=st.booleans(),
)
rows = st.lists(known, unique_by=lambda row: row.key)


def row(key: str, **changes: object) -> Known:
    facts = {"state": State.READY, "desired": Desired.RUNNING, "phase": Phase.RUNNING, "generation": 1}
    return Known(key=key, **facts | {"seen_generation": 1, "apps": (), "reference": "", "missing": False} | changes)  # type: ignore[arg-type]


@given(rows, st.lists(found))
def test_everything_listed_is_accounted_for_once(known: list[Known], listed: list[Found]) -> None:
    sifted = sift(known, listed)
    keys = {one.key for one in known}
    assert sorted(map(id, sifted.unknown)) == sorted(id(one) for one in listed if one.id not in keys)
    surplus = len(listed) - len(sifted.unknown) - len({one.id for one in listed if one.id in keys})
    assert len(sifted.duplicates) == surplus


@given(rows, st.lists(found))
def test_what_is_listed_is_never_missing_and_what_is_missing_was_expected(
    known: list[Known], listed: list[Found]
) -> None:
    sifted = sift(known, listed)
    there = {one.id for one in listed}
    assert not there & (sifted.missing | sifted.absent)
    expected = {one.key for one in known if one.expected}
    assert sifted.missing <= expected - there
    assert sifted.back <= there


@given(rows.filter(lambda known: sum(one.expected for one in known) >= FEW))
def test_an_empty_list_is_never_believed_where_several_were(known: list[Known]) -> None:
    assert sift(known, []).doubt


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_doubt_needs_several_and_a_good_share(missing: int, expected: int) -> None:
    if missing <= expected:
        assert bool(doubt_of(missing, expected)) == (missing >= FEW and missing >= SHARE * expected)


@given(st.lists(found, min_size=1), st.randoms())
def test_the_copy_that_counts_does_not_depend_on_the_order_of_the_list(copies: list[Found], random: object) -> None:
    shuffled = list(copies)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = primary("b", copies), primary("b", shuffled)
    assert (first.observed.reference, first.created) == (second.observed.reference, second.created) or (
        first.observed.reference == second.observed.reference == "b"
    )


def test_the_copy_that_is_written_down_counts_else_the_oldest() -> None:
    old = Found("1", Observed(Phase.RUNNING, 1, reference="x"), created=LONG_AGO)
    new = Found("1", Observed(Phase.RUNNING, 1, reference="y"), created=LONG_AGO + timedelta(days=1))
    assert sift([row("1", reference="y")], [old, new]).duplicates == (old,)
    assert sift([row("1")], [new, old]).duplicates == (new,)


def test_what_is_as_it_was_written_is_nobody_s_news() -> None:
    same = Found("1", Observed(Phase.RUNNING, 1))
    assert not sift([row("1")], [same]).moved
    assert set(sift([row("1", missing=True)], [same]).moved) == {"1"}
    assert set(sift([row("1", generation=2)], [same]).moved) == {"1"}
    assert set(sift([row("1", state=State.UNKNOWN)], [same]).moved) == {"1"}
