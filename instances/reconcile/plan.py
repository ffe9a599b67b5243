"""From what is wanted and what was observed to the one next step. Pure: the reconciler's whole judgement is here.

Unknown is not absent: from an unanswered question no step ends or deletes anything, and an absence is believed only
when it is proven: a list and a question agree on it for a while, or a cloud that was told to delete says so twice.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from instances.providers.base import Observed
from instances.states import Desired, Phase, State

PATIENCE = timedelta(minutes=2)
"""How long an environment may take from its start until all of its apps answer, unless its cloud says otherwise."""
MISSING_FOR = timedelta(seconds=10)
"""How long a cloud's list must lack what was there, before an answer that it is absent is believed."""
DENIALS = 2
"""Answers in a row by which a cloud that was told to delete confirms that it did."""


class Act(StrEnum):
    NOTHING = "nothing"
    ENSURE = "ensure"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Wish:
    """The row: what is wanted, what was last shown and last believed."""

    desired: Desired
    generation: int
    state: State
    seen_generation: int
    apps: frozenset[str]
    phase: Phase = Phase.ABSENT
    """As last believed; ABSENT is not believed without proof."""
    absences: int = 0
    """Answers in a row that it is absent, this one included."""
    missing_for: timedelta | None = None
    """Since when its cloud's list lacks it; None while it is listed."""
    doubted: bool = False
    """Too much is missing from its cloud at once: no absence is believed."""


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
SILENT = "Its cloud does not answer. Nothing is done to it until it does."
DOUBTED = "Too much is missing from its cloud at once to believe it. Nothing is done to it until that is clear."
CHECKED = "Its cloud says that it has it not. That is being checked."
VANISHED = "Its cloud does not have it any more. Your home and the data are kept: start it again."


def plan(wish: Wish, observed: Observed, *, waited: timedelta, patience: timedelta = PATIENCE) -> Step:
    """The next step; `waited` is how long the instance has been on its way to the wish."""
    absent = observed.phase is Phase.ABSENT
    if observed.phase is Phase.UNKNOWN:
        return _unknown(observed.message or SILENT)
    if wish.doubted and (wish.state is State.UNKNOWN or (absent and wish.phase is not Phase.ABSENT)):
        return _unknown(DOUBTED)  # also of what answers: its cloud contradicts itself, and the next list would again
    if wish.desired is Desired.DELETED:
        return _towards_deleted(wish, observed)
    if not believes(wish, observed) and (wish.desired is Desired.STOPPED or wish.seen_generation >= wish.generation):
        return _unknown(CHECKED)
    if wish.desired is Desired.STOPPED:
        return _towards_stopped(wish, observed)
    return _towards_running(wish, observed, waited, patience)


def believes(wish: Wish, observed: Observed) -> bool:
    """Whether what was observed is to be written down as a fact. No answer is not one, and an absence needs proof."""
    if observed.phase is Phase.UNKNOWN:
        return False
    if observed.phase is not Phase.ABSENT or wish.phase is Phase.ABSENT:
        return True
    if wish.doubted:
        return False
    return _proven(wish) or (wish.desired is Desired.DELETED and wish.absences >= DENIALS)


def _unknown(message: str) -> Step:
    return Step(Act.NOTHING, State.UNKNOWN, message, again=LATER)


def _proven(wish: Wish) -> bool:
    """The list lacks it for a while, and it was asked for by name more than once."""
    return wish.missing_for is not None and wish.missing_for >= MISSING_FOR and wish.absences >= DENIALS


def _towards_deleted(wish: Wish, observed: Observed) -> Step:
    if observed.phase is Phase.ABSENT and wish.absences >= DENIALS:
        return Step(Act.NOTHING, State.DELETED, "Its cloud confirms that it is gone.")
    return Step(Act.DELETE, State.DELETING, again=SOON)


def _towards_stopped(wish: Wish, observed: Observed) -> Step:
    if observed.phase in (Phase.RUNNING, Phase.STARTING):
        return Step(Act.STOP, State.STOPPING, again=SOON)
    if wish.state is State.FAILED or (observed.phase is Phase.FAILED and wish.state is not State.STOPPING):
        return Step(Act.NOTHING, State.FAILED, observed.message)
    return Step(Act.NOTHING, State.STOPPED)


def _towards_running(wish: Wish, observed: Observed, waited: timedelta, patience: timedelta) -> Step:
    on_the_way = State.RESTARTING if wish.state is State.RESTARTING else State.STARTING
    if observed.phase is Phase.ABSENT and wish.seen_generation >= wish.generation:
        return _ended(State.FAILED, VANISHED)
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
    if waited > patience:
        missing = ", ".join(sorted(wish.apps - observed.apps)) or "it"
        return Step(
            Act.STOP,
            State.FAILED,
            f"After {patience.seconds // 60} minutes {missing} did not answer.",
            settle=Desired.STOPPED,
        )
    return Step(Act.NOTHING, on_the_way, observed.message, again=SOON)


def _ended(state: State, message: str) -> Step:
    return Step(Act.NOTHING, state, message, settle=Desired.STOPPED)
