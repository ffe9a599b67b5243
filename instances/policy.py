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
    ADMINISTER = "administer"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    id: str
    owner_id: int
    state: State


OVERSEERS = (Role.ADMINISTRATOR, Role.IT_SUPPORT)
AUDITORS_CHANGE_NOTHING = "An auditor sees everything and can change nothing."
BLOCKED = "This account is blocked. The helpdesk can tell why."


def may_launch(actor: Actor, *, takes_part: bool, refusals: tuple[str, ...] = ()) -> Decision:
    """`takes_part`: in any experiment, ever; open data alone gives no computing time. `refusals`: experiments that
    were chosen and give no data, each with the reason.
    """
    if actor.has(Role.AUDITOR):
        return deny(AUDITORS_CHANGE_NOTHING)
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


def may_administer(actor: Actor) -> Decision:
    """Change what belongs to the whole portal: people, roles, clouds, environments, settings of others."""
    if not actor.active:
        return deny(BLOCKED)
    if actor.has(Role.AUDITOR):
        return deny(AUDITORS_CHANGE_NOTHING)
    if actor.has(Role.ADMINISTRATOR):
        return allow("you are administrator of this portal")
    return deny("Only an administrator of this portal may do this.")


def may_audit(actor: Actor) -> Decision:
    """Read the audit trail, and every page of the administration without changing anything there."""
    if not actor.active:
        return deny(BLOCKED)
    if actor.has(Role.AUDITOR):
        return allow("you audit this portal")
    if actor.has(Role.ADMINISTRATOR):
        return allow("you are administrator of this portal")
    if actor.has(Role.IT_SUPPORT):
        return allow("you are IT support of this portal")
    return deny("Only auditors, administrators and IT support of this portal may read the audit trail.")


def may(actor: Actor, action: Action, instance: InstanceFacts) -> Decision:
    """Owner, staff, auditor, nobody else. A deleted instance can only be seen."""
    if action in _PORTAL_WIDE:
        return _PORTAL_WIDE[action](actor)
    if instance.state is State.DELETED and action is not Action.SEE:
        return deny("This instance has been deleted.")
    if instance.owner_id in actor.accounts:
        if actor.has(Role.AUDITOR) and action is not Action.SEE:
            return deny(AUDITORS_CHANGE_NOTHING)
        return allow("you are its owner")
    if action in _OVERSEEN and actor.has(*OVERSEERS):
        return allow("you look after all instances")
    if action is Action.SEE and actor.has(Role.AUDITOR):
        return allow("you audit all instances")
    return deny("This instance belongs to somebody else.")


_OVERSEEN = {Action.SEE, Action.STOP, Action.DELETE}
_PORTAL_WIDE = {Action.ADMINISTER: may_administer, Action.AUDIT: may_audit}
