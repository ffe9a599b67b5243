"""The only place that answers "may X?" about instances, with the reason. Pure.

`visible_to` in services/visibility.py is its queryset twin; tests/instances/test_policy_parity.py compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum

from auth.access import Actor, Decision, Role, allow, deny
from instances.states import State


class Action(StrEnum):
    LAUNCH = "launch"
    SEE = "see"
    RENAME = "rename"
    START = "start"
    STOP = "stop"
    DELETE = "delete"
    WATCH = "watch"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    id: str
    owner_id: int
    state: State
    withheld: str = ""
    """Why nobody may look into it now: it still has data to which its owner has no right any longer."""


OVERSEERS = (Role.ADMINISTRATOR, Role.IT_SUPPORT)


def may_launch(actor: Actor, *, takes_part: bool, refusals: tuple[str, ...] = ()) -> Decision:
    """`takes_part`: in any experiment, ever; open data alone gives no computing time. `refusals`: experiments that
    were chosen and give no data, each with the reason.
    """
    if actor.has(Role.AUDITOR):
        return deny("An auditor sees everything and can change nothing.")
    if refusals:
        return deny(refusals[0])
    if takes_part:
        return allow("you take part in experiments here")
    if actor.has(*OVERSEERS):
        return allow("staff may launch instances")
    return deny(
        "You take part in no experiment here, and instances are for people with beam time. Ask the principal"
        " investigator of your proposal to add you to its team, then sign in again."
    )


def may(actor: Actor, action: Action, instance: InstanceFacts) -> Decision:
    """Owner, staff, auditor, nobody else. A deleted instance can only be seen."""
    if instance.state is State.DELETED and action is not Action.SEE:
        return deny("This instance has been deleted.")
    if instance.withheld and action in _INSIDE:
        return deny(instance.withheld)
    if instance.owner_id in actor.accounts:
        if actor.has(Role.AUDITOR) and action is not Action.SEE:
            return deny("An auditor sees everything and can change nothing.")
        return allow("you are its owner")
    if action in _OVERSEEN and actor.has(*OVERSEERS):
        return allow("you look after all instances")
    if action is Action.SEE and actor.has(Role.AUDITOR):
        return allow("you audit all instances")
    return deny("This instance belongs to somebody else.")


_OVERSEEN = {Action.SEE, Action.STOP, Action.DELETE}
_INSIDE = {Action.WATCH, Action.CONTROL}
