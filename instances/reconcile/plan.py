"""From what is wanted and what was observed to the one next step. Pure: the reconciler's whole judgement is here.

Unknown is not absent: from an unanswered question no step ends or deletes anything.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from instances.providers.base import Observed
from instances.states import Desired, Phase, State

PATIENCE = timedelta(minutes=2)
"""How long an environment may take from its start until all of its apps answer."""


class Act(StrEnum):
    NOTHING = "nothing"
    ENSURE = "ensure"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Wish:
    """The row: what is wanted, what was last shown and last seen."""

    desired: Desired
    generation: int
    state: State
    seen_generation: int
    apps: frozenset[str]


@dataclass(frozen=True, slots=True)
class Step:
    act: Act
    state: State
    """To be shown from now on."""
    message: str = ""
    """Why; empty: for the reason that was given with the wish."""
    again: timedelta | None = None
    """When to look again; None: not before something changes."""
    settle: Desired | None = None
    """The wish ends here: what is wanted becomes this, because it cannot be had as it was."""


SOON = timedelta(milliseconds=100)
LATER = timedelta(seconds=5)


def plan(wish: Wish, observed: Observed, *, waited: timedelta) -> Step:
    """The next step; `waited` is how long the instance has been on its way to the wish."""
    if observed.phase is Phase.UNKNOWN:
        return Step(Act.NOTHING, State.UNKNOWN, observed.message or "Its cloud does not answer.", again=LATER)
    if wish.desired is Desired.DELETED:
        return _towards_deleted(observed)
    if wish.desired is Desired.STOPPED:
        return _towards_stopped(wish, observed)
    return _towards_running(wish, observed, waited)


def _towards_deleted(observed: Observed) -> Step:
    if observed.phase is Phase.ABSENT:
        return Step(Act.NOTHING, State.DELETED, "Its cloud confirms that it is gone.")
    return Step(Act.DELETE, State.DELETING, again=SOON)


def _towards_stopped(wish: Wish, observed: Observed) -> Step:
    if observed.phase in (Phase.RUNNING, Phase.STARTING):
        return Step(Act.STOP, State.STOPPING, again=SOON)
    if wish.state is State.FAILED or (observed.phase is Phase.FAILED and wish.state is not State.STOPPING):
        return Step(Act.NOTHING, State.FAILED, observed.message)
    return Step(Act.NOTHING, State.STOPPED)


def _towards_running(wish: Wish, observed: Observed, waited: timedelta) -> Step:
    on_the_way = State.RESTARTING if wish.state is State.RESTARTING else State.STARTING
    if observed.phase is Phase.ABSENT and wish.seen_generation >= wish.generation:
        return _ended(
            State.FAILED, "Its cloud does not have it any more. Your home and the data are kept: start it again."
        )
    if observed.generation < wish.generation:
        return Step(Act.ENSURE, on_the_way, again=SOON)
    if observed.phase is Phase.FAILED:
        return _ended(State.FAILED, observed.message or "It ended with an error.")
    if observed.phase is Phase.STOPPED:
        return _ended(State.STOPPED, observed.message or "It ended by itself.")
    if observed.phase is Phase.RUNNING and wish.apps <= observed.apps:
        return Step(Act.NOTHING, State.READY, "Ready")
    if wish.state is State.READY:
        return Step(Act.NOTHING, State.READY, "It is slow to answer.", again=LATER)
    if waited > PATIENCE:
        missing = ", ".join(sorted(wish.apps - observed.apps)) or "it"
        return Step(
            Act.STOP,
            State.FAILED,
            f"After {PATIENCE.seconds // 60} minutes {missing} did not answer.",
            settle=Desired.STOPPED,
        )
    return Step(Act.NOTHING, on_the_way, observed.message, again=SOON)


def _ended(state: State, message: str) -> Step:
    return Step(Act.NOTHING, state, message, settle=Desired.STOPPED)
