"""The reconciler's judgement: wherever it starts, it arrives; from the unknown it destroys nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.providers.base import Observed
from instances.reconcile.plan import DENIALS, MISSING_FOR, PATIENCE, Act, Step, Wish, believes, plan
from instances.states import TRANSITIONS, Desired, Phase, State

APPS = frozenset({"desktop"})
wishes = st.builds(
    Wish,
    desired=st.sampled_from(Desired),
    generation=st.integers(1, 3),
    state=st.sampled_from([state for state in State if state is not State.DELETED]),
    seen_generation=st.integers(0, 3),
    apps=st.just(APPS),
    phase=st.sampled_from([phase for phase in Phase if phase is not Phase.UNKNOWN]),
    absences=st.integers(0, 3),
    missing_for=st.sampled_from([None, timedelta(), MISSING_FOR]),
).filter(lambda wish: wish.seen_generation <= wish.generation)
answers = st.builds(
    Observed, phase=st.sampled_from(Phase), generation=st.integers(0, 3), apps=st.sampled_from([frozenset(), APPS])
)
NOT_LONG = timedelta(seconds=1)


class Cloud:
    """A cloud that does as it is told."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed

    def do(self, step: Step, wish: Wish) -> None:
        if step.act is Act.ENSURE:
            self.observed = Observed(Phase.STARTING, wish.generation)
        elif step.act is Act.STOP:
            self.observed = replace(self.observed, phase=Phase.STOPPED, apps=frozenset())
        elif step.act is Act.DELETE:
            self.observed = Observed(Phase.ABSENT)
        elif self.observed.phase is Phase.STARTING:
            self.observed = replace(self.observed, phase=Phase.RUNNING, apps=APPS)
        elif self.observed.phase is Phase.RUNNING:
            self.observed = replace(self.observed, apps=APPS)
        elif self.observed.phase is Phase.UNKNOWN:
            self.observed = replace(self.observed, phase=Phase.STOPPED)


def asked_again(wish: Wish, observed: Observed) -> Wish:
    """The row with one more answer counted in; the list says the same as the answer."""
    if observed.phase is not Phase.ABSENT:
        return replace(wish, absences=0, missing_for=None)
    return replace(wish, absences=wish.absences + 1, missing_for=(wish.missing_for or timedelta()) + MISSING_FOR)


def written(wish: Wish, observed: Observed, step: Step) -> Wish:
    """The row after the step, as the worker writes it."""
    seen = max(wish.seen_generation, min(observed.generation, wish.generation))
    phase = observed.phase if believes(wish, observed) else wish.phase
    return replace(wish, state=step.state, desired=step.settle or wish.desired, seen_generation=seen, phase=phase)


def run(wish: Wish, cloud: Cloud, rounds: int = 16) -> tuple[Wish, Step]:
    for _ in range(rounds):
        wish = asked_again(wish, cloud.observed)
        step = plan(wish, cloud.observed, waited=NOT_LONG)
        before = cloud.observed
        cloud.do(step, wish)
        wish = written(wish, before if step.act is Act.NOTHING else cloud.observed, step)
    return wish, step


@given(wishes, answers)
def test_repeated_steps_arrive_and_stay(wish: Wish, observed: Observed) -> None:
    wish, step = run(wish, Cloud(observed))
    assert step.act is Act.NOTHING and step.again is None
    assert wish.state.settled
    assert {Desired.RUNNING: {State.READY}, Desired.DELETED: {State.DELETED}}.get(
        wish.desired, {State.STOPPED, State.FAILED}
    ) >= {wish.state}


@given(wishes, answers)
def test_doubt_ends_or_deletes_nothing_and_when_it_is_over_everything_arrives(wish: Wish, observed: Observed) -> None:
    doubted = asked_again(replace(wish, doubted=True), observed)
    step = plan(doubted, observed, waited=10 * PATIENCE)
    if observed.phase is Phase.ABSENT and wish.phase is not Phase.ABSENT:
        assert (step.act, step.state, step.settle) == (Act.NOTHING, State.UNKNOWN, None)
        assert not believes(doubted, observed)
        honest = Cloud(Observed(Phase.RUNNING, wish.generation, APPS))
        settled, _ = run(replace(written(doubted, observed, step), doubted=False), honest)
        assert settled.state.settled


@given(wishes, st.integers(0, 3))
def test_an_absence_is_believed_only_when_list_and_answers_agree_for_a_while(wish: Wish, generation: int) -> None:
    """Whoever wants it deleted has told the cloud so: then its word, given twice, is enough."""
    absent = Observed(Phase.ABSENT, generation)
    if wish.phase is Phase.ABSENT:
        return
    proven = wish.missing_for is not None and wish.missing_for >= MISSING_FOR and wish.absences >= DENIALS
    deleted = wish.desired is Desired.DELETED and wish.absences >= DENIALS
    assert believes(wish, absent) == (proven or deleted)
    step = plan(wish, absent, waited=NOT_LONG)
    if not proven and wish.desired is not Desired.DELETED:
        assert step.settle is None and step.state is not State.DELETED


@given(wishes, st.builds(Observed, phase=st.just(Phase.UNKNOWN), generation=st.integers(0, 3)))
def test_from_the_unknown_no_step_touches_anything(wish: Wish, observed: Observed) -> None:
    step = plan(wish, observed, waited=10 * PATIENCE)
    assert (step.act, step.state, step.settle) == (Act.NOTHING, State.UNKNOWN, None)
    assert step.again


@given(wishes.filter(lambda wish: wish.desired is not Desired.DELETED), answers)
def test_nothing_is_deleted_that_nobody_wants_deleted(wish: Wish, observed: Observed) -> None:
    step = plan(wish, observed, waited=10 * PATIENCE)
    assert step.act is not Act.DELETE and step.state is not State.DELETED


@given(wishes, answers)
def test_deleted_needs_the_proof_of_absence(wish: Wish, observed: Observed) -> None:
    step = plan(wish, observed, waited=NOT_LONG)
    proven = observed.phase is Phase.ABSENT and wish.absences >= DENIALS
    assert (step.state is State.DELETED) == (wish.desired is Desired.DELETED and proven)


def wish(**changes: object) -> Wish:
    proven = {"phase": Phase.RUNNING, "absences": DENIALS, "missing_for": MISSING_FOR}
    return replace(Wish(Desired.RUNNING, 2, State.READY, 2, APPS, **proven), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "observed", "act", "state"),
    [
        (wish(state=State.QUEUED, seen_generation=0), Observed(Phase.ABSENT), Act.ENSURE, State.STARTING),
        (wish(state=State.RESTARTING), Observed(Phase.RUNNING, 1, APPS), Act.ENSURE, State.RESTARTING),
        (wish(), Observed(Phase.RUNNING, 2, APPS), Act.NOTHING, State.READY),
        (wish(), Observed(Phase.STOPPED, 2), Act.NOTHING, State.STOPPED),
        (wish(), Observed(Phase.FAILED, 2, message="no memory"), Act.NOTHING, State.FAILED),
        (wish(), Observed(Phase.ABSENT), Act.NOTHING, State.FAILED),
        (wish(desired=Desired.STOPPED), Observed(Phase.RUNNING, 2, APPS), Act.STOP, State.STOPPING),
        (wish(desired=Desired.DELETED), Observed(Phase.FAILED, 2), Act.DELETE, State.DELETING),
    ],
)
def test_the_step_for(asked: Wish, observed: Observed, act: Act, state: State) -> None:
    step = plan(asked, observed, waited=NOT_LONG)
    assert (step.act, step.state) == (act, state)


def test_an_environment_that_never_answers_is_given_up() -> None:
    step = plan(wish(state=State.STARTING), Observed(Phase.STARTING, 2), waited=2 * PATIENCE)
    assert (step.act, step.state, step.settle) == (Act.STOP, State.FAILED, Desired.STOPPED)
    assert "desktop" in step.message


@given(wishes, answers)
def test_every_step_is_a_legal_transition(asked: Wish, observed: Observed) -> None:
    """From each state that its wish can be in."""
    possible = {
        Desired.RUNNING: set(State) - {State.STOPPED, State.FAILED, State.STOPPING, State.DELETING, State.DELETED},
        Desired.STOPPED: {State.STOPPING, State.STOPPED, State.FAILED, State.UNKNOWN},
        Desired.DELETED: {State.DELETING, State.UNKNOWN},
    }[asked.desired]
    if asked.state not in possible:
        return
    step = plan(asked, observed, waited=NOT_LONG)
    assert step.state == asked.state or step.state in TRANSITIONS[asked.state]
