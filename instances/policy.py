"""The only place that answers "may X?" about instances and the portal, with the reason. Pure.

`visible_to` in services/visibility.py is its queryset twin; tests/instances/test_policy_parity.py compares the two.
The reason of a yes completes "because …"; that of a no is a sentence.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from auth.access import Actor, Decision, Role, allow, deny
from auth.data import Part
from instances.states import State


class Action(StrEnum):
    LAUNCH = "launch"
    SEE = "see"
    INSPECT = "inspect"
    """Its notes, its data, its timeline and who was in it, beyond that it exists."""
    REVIEW = "review"
    """Who was in it, from where and for how long."""
    RENAME = "rename"
    START = "start"
    STOP = "stop"
    DELETE = "delete"
    EXTEND = "extend"
    KEEP = "keep"
    """Have it left running although nothing happens in it."""
    PIN = "pin"
    """Have it never end by itself."""
    WATCH = "watch"
    """A picture of the screen is a look at the screen."""
    CONTROL = "control"
    SHARE = "share"
    ASK = "ask"
    """Ask its owner to be let in."""
    APPROVE = "approve"
    """Let somebody in who asked."""
    ADMINISTER = "administer"
    AUDIT = "audit"


COLLABORATOR, VIEWER = "collaborator", "viewer"


class Capacity(StrEnum):
    """In which somebody asks an owner to be let in."""

    LOCAL_CONTACT = "local_contact"
    INSTRUMENT_SCIENTIST = "instrument_scientist"
    IT_SUPPORT = "it_support"
    ADMINISTRATOR = "administrator"
    MEMBER = "member"

    @property
    def label(self) -> str:
        return "IT support" if self is Capacity.IT_SUPPORT else self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    id: str
    owner_id: int
    state: State
    experiments: frozenset[int] = frozenset()
    instruments: frozenset[int] = frozenset()
    """Of those of its experiments that are not proprietary: what is, is its team's."""
    supported: frozenset[int] = frozenset()
    """Those of its experiments whose local contacts look after them now."""
    controlled: frozenset[int] = frozenset()
    """The instruments on which one of its experiments has beam time about now."""
    members: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """Who was invited, as collaborator or viewer, by account."""
    withheld: str = ""
    """Why nobody may look into it now: it still has data to which its owner has no right any longer."""


WITHHELD = "Its owner has lost the right to some of the data in it: nobody can look into it until it is rid of that."
OVERSEERS = (Role.ADMINISTRATOR, Role.IT_SUPPORT)
AUDITORS_CHANGE_NOTHING = "An auditor sees everything and can change nothing."
BLOCKED = "This account is blocked. The helpdesk can tell why."
SOMEBODY_ELSES = "This instance belongs to somebody else."


def may_launch(actor: Actor, *, takes_part: bool, refusals: tuple[str, ...] = ()) -> Decision:
    """`takes_part`: in any experiment, ever; open data alone gives no computing time. `refusals`: experiments that
    were chosen and give no data, each with the reason.
    """
    if not actor.active:
        return deny(BLOCKED)
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


def may_explain_others(actor: Actor) -> Decision:
    """Ask why somebody else may or may not."""
    if not actor.active:
        return deny(BLOCKED)
    if actor.has(*OVERSEERS, Role.AUDITOR):
        return allow("you look after this portal")
    return deny("Only those who look after this portal may ask what somebody else may do.")


def may_decide_extension(actor: Actor, *, asked_by: int) -> Decision:
    """Answer somebody who asks for more time than they may give themself."""
    decision = may_administer(actor)
    if decision and asked_by in actor.accounts:
        return deny("Nobody decides about their own request. Ask another administrator.")
    return decision


def may_review_access(actor: Actor, *, parts: Collection[Part]) -> Decision:
    """Read who has accessed an experiment's data. `parts`: those of the actor that give any of it now."""
    if not actor.active:
        return deny(BLOCKED)
    if actor.has(*OVERSEERS, Role.AUDITOR):
        return allow("you look after this portal")
    if Part.PRINCIPAL_INVESTIGATOR in parts:
        return allow("you are its principal investigator")
    if Part.INSTRUMENT_SCIENTIST in parts:
        return allow("you are scientist of its instrument")
    return deny("Who has accessed the data is told to the principal investigator and the instrument's scientists.")


def may(actor: Actor, action: Action, instance: InstanceFacts) -> Decision:
    """Whether `actor` may do `action` to or in the instance. Whoever may not see it may nothing else."""
    if action in _PORTAL_WIDE:
        return _PORTAL_WIDE[action](actor)
    seen = _may_see(actor, instance)
    if action is Action.SEE or not seen:
        return seen
    if actor.has(Role.AUDITOR):
        return seen if action in _READING else deny(AUDITORS_CHANGE_NOTHING)
    if action is Action.LAUNCH:
        return deny("It has been launched already.")
    if instance.state is State.DELETED and action not in _READING:
        return deny("This instance has been deleted.")
    if instance.withheld and action in _OF_THE_SCREEN:
        return deny(instance.withheld if instance.owner_id in actor.accounts else WITHHELD)
    if action is Action.PIN:
        return may_administer(actor)
    if instance.owner_id in actor.accounts:
        return allow("you are its owner")
    if action in _OVERSEEN and actor.has(*OVERSEERS):
        return allow("you look after all instances")
    if action in _OF_MEMBERS.get(_membership(actor, instance), ()):
        return allow(f"its owner made you a {_membership(actor, instance)}")
    if action is Action.ASK and capacity_of(actor, instance):
        return seen
    return deny(_REFUSALS.get(action, SOMEBODY_ELSES))


def _may_see(actor: Actor, instance: InstanceFacts) -> Decision:
    if not actor.active:
        return deny(BLOCKED)
    if instance.owner_id in actor.accounts:
        return allow("you are its owner")
    if actor.has(*OVERSEERS):
        return allow("you look after all instances")
    if actor.has(Role.AUDITOR):
        return allow("you audit all instances")
    if membership := _membership(actor, instance):
        return allow(f"its owner made you a {membership}")
    if not actor.instruments.isdisjoint(instance.instruments):
        return allow("you are scientist of the instrument of one of its experiments")
    if not actor.supports.isdisjoint(instance.supported):
        return allow("you are local contact of one of its experiments")
    if not actor.controls.isdisjoint(instance.controlled):
        return allow("you control an instrument on which one of its experiments has beam time")
    return deny(SOMEBODY_ELSES)


def _membership(actor: Actor, instance: InstanceFacts) -> str:
    """The better one of a person's several identities; empty for none, and for what is no membership."""
    held = {instance.members[account] for account in actor.accounts if account in instance.members}
    return next((kind for kind in (COLLABORATOR, VIEWER) if kind in held), "")


def capacity_of(actor: Actor, instance: InstanceFacts) -> Capacity | None:
    """In which capacity `actor` may ask to be let in: the nearest to the experiment.

    None for everybody else, the instrument control among them: it sees that somebody works there, and no more.
    """
    if actor.supports & instance.supported:
        return Capacity.LOCAL_CONTACT
    if actor.instruments & instance.instruments:
        return Capacity.INSTRUMENT_SCIENTIST
    if actor.has(Role.IT_SUPPORT):
        return Capacity.IT_SUPPORT
    if actor.has(Role.ADMINISTRATOR):
        return Capacity.ADMINISTRATOR
    return Capacity.MEMBER if _membership(actor, instance) else None


_PORTAL_WIDE = {Action.ADMINISTER: may_administer, Action.AUDIT: may_audit}
_OF_THE_SCREEN = {Action.WATCH, Action.CONTROL, Action.SHARE}
_READING = {Action.INSPECT, Action.REVIEW}
_OVERSEEN = {Action.INSPECT, Action.REVIEW, Action.STOP, Action.DELETE, Action.EXTEND, Action.ASK}
_OF_MEMBERS = {
    COLLABORATOR: {Action.INSPECT, Action.WATCH, Action.CONTROL},
    VIEWER: {Action.WATCH},
}
_REFUSALS = {
    Action.INSPECT: "Notes, data and timeline of an instance are its owner's, and of those who look after the portal.",
    Action.REVIEW: "Who was in it, and from where, is told to its owner and to those who look after the portal.",
    Action.WATCH: "This instance belongs to somebody else. Ask its owner to be let in, to see the screen.",
    Action.CONTROL: "This instance belongs to somebody else. Ask its owner to be let in, to work in it.",
    Action.SHARE: "Whoever shares a desktop shares its owner's rights to the data: only the owner decides that.",
    Action.APPROVE: "Only its owner answers those who ask to be let in.",
    Action.ASK: "The instrument control sees that an instance exists, and is not let into it.",
    Action.KEEP: "Only its owner knows that it is still needed.",
    Action.EXTEND: "Only its owner, and those who look after the portal, decide how long it lives.",
}
