"""Whether what is wanted is what was seen; and where it is not, why, and what becomes of it. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from instances.providers.base import Observed
from instances.states import Desired, Phase, State

from .plan import PATIENCE, Act, Step, Wish, plan

AT_REST = (Phase.ABSENT, Phase.STOPPED, Phase.FAILED)
ACTS = {
    Act.ENSURE: "A worker will make it, or start it anew.",
    Act.STOP: "A worker will stop it.",
    Act.DELETE: "A worker will delete it, until its cloud has denied twice that it is there.",
}
PROVING = (
    "It is asked for by name. Denied twice and missing for 10 seconds it counts as gone, and is shown as failed;"
    " its home is kept."
)


@dataclass(frozen=True, slots=True)
class Around:
    """What bears upon an instance from outside: the line, and how its cloud does."""

    waiting: bool = False
    trouble: str = ""
    spared: bool = False
    """The circuit breaker of its cloud is open."""
    failures: int = 0
    message: str = ""
    """What it was last said to be in its state for."""


@dataclass(frozen=True, slots=True)
class Drift:
    agrees: bool
    because: str = ""
    following: str = ""
    """What is done about it next."""
    decision: bool = False
    """Nothing is, before somebody decides or something changes in the cloud."""
    if_asked: str = ""
    """What a worker would do that is told to look at it, and sees the same."""


def agrees(wish: Wish, observed: Observed) -> bool:
    """The twin of `services.drift.AGREES`."""
    if wish.missing_for is not None or _missing(wish, observed):
        return False
    if wish.desired is Desired.RUNNING:
        runs = observed.phase is Phase.RUNNING and observed.generation >= wish.generation
        return wish.state is State.READY and runs and wish.apps <= observed.apps
    at_rest = wish.state in (State.STOPPED, State.FAILED) and observed.phase in AT_REST
    return wish.desired is Desired.STOPPED and at_rest


def drift(
    wish: Wish, observed: Observed, around: Around, *, waited: timedelta, patience: timedelta = PATIENCE
) -> Drift:
    """`waited` and `patience` as `plan` wants them: what follows is what the plan says."""
    if around.waiting:
        return Drift(False, "There is no place for it yet.", "It gets one when its turn comes.")
    if agrees(wish, observed):
        return Drift(True)
    step = plan(wish, observed, waited=waited, patience=patience)
    if_asked, decision = _following(wish, observed, around, step)
    because = _because(wish, observed, around)
    if decision or around.trouble or around.spared or _noticed(wish, observed):
        return Drift(False, because, if_asked, decision, if_asked)
    return Drift(False, because, "Nothing, until its cloud’s list says something new.", True, if_asked)


def words(desired: Desired, generation: int) -> str:
    """What is wanted."""
    return {Desired.RUNNING: f"running, start {generation}", Desired.STOPPED: "stopped"}.get(desired, "gone")


def seen(observed: Observed) -> str:
    """What was seen."""
    if observed.phase is Phase.ABSENT:
        return "nothing"
    if observed.phase not in (Phase.RUNNING, Phase.STARTING):
        return observed.phase.value
    answering = f", {' and '.join(sorted(observed.apps))} answering" if observed.apps else ""
    return f"{observed.phase.value}, start {observed.generation}{answering}"


def _because(wish: Wish, observed: Observed, around: Around) -> str:
    if around.trouble:
        return f"Its cloud does not answer: {around.trouble}"
    if wish.missing_for is not None or _missing(wish, observed):
        return "Its cloud’s list lacks it."
    if around.failures:
        times = "Once" if around.failures == 1 else f"{around.failures} times"
        return f"{times} in a row its cloud failed at it. {around.message}".strip()
    if wish.desired is Desired.DELETED:
        gone = observed.phase is Phase.ABSENT
        return "Its cloud has not confirmed twice that it is gone." if gone else "Its cloud still has it."
    if wish.desired is Desired.STOPPED:
        return "It still runs." if observed.phase not in AT_REST else _lagging(wish)
    return _not_running(wish, observed)


def _not_running(wish: Wish, observed: Observed) -> str:
    if observed.generation < wish.generation:
        return "It has not been made yet." if observed.phase is Phase.ABSENT else "It has not been started anew yet."
    if observed.phase is Phase.FAILED:
        return observed.message or "It ended with an error."
    if observed.phase is Phase.STOPPED:
        return observed.message or "It ended by itself."
    if lacking := sorted(wish.apps - observed.apps):
        return f"Not answering: {', '.join(lacking)}."
    return _lagging(wish)


def _lagging(wish: Wish) -> str:
    return f"The portal still shows it as {wish.state.value}."


def _following(wish: Wish, observed: Observed, around: Around, step: Step) -> tuple[str, bool]:
    if around.trouble:
        return "Nothing, until its cloud answers.", False
    if wish.doubted and (_missing(wish, observed) or step.act is not Act.NOTHING):
        return "Nothing, until its cloud’s list is whole again or an administrator vouches that they are gone.", True
    if around.spared:
        return "Nothing, until its cloud is tried again.", False
    if _missing(wish, observed) and step.state is State.UNKNOWN:
        return PROVING, False
    if step.act is not Act.NOTHING:
        return ACTS[step.act], False
    if step.state is wish.state:
        return "It will be asked for again.", False
    return f"It will be shown as {step.state.value}.", False


def _missing(wish: Wish, observed: Observed) -> bool:
    return observed.phase is Phase.ABSENT and wish.phase is not Phase.ABSENT


def _noticed(wish: Wish, observed: Observed) -> bool:
    """It is under way and swept, or a tick that lists it so would wake a worker."""
    return (
        not wish.state.settled
        or wish.missing_for is not None
        or observed.phase is not wish.phase
        or (wish.desired is Desired.RUNNING and wish.generation > observed.generation)
    )
