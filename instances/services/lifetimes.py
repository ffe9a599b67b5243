"""How long an instance lives: the rule that applies to it, and what may be done for more time."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from auth.access import Actor
from auth.models import RoleGrant, User
from instances.errors import Conflict
from instances.models import ExtensionRequest, Instance, LifetimeRule
from instances.states import State

LONGEST = timedelta(days=400)
"""As far ahead as anybody may ask for."""
AT_REST = (State.STOPPED, State.FAILED)


def all_rules() -> list[LifetimeRule]:
    """There are few: whoever looks at many instances asks once."""
    return list(LifetimeRule.objects.select_related("flavour"))


def rule_for(flavour_id: int, roles: Collection[str], rules: Iterable[LifetimeRule]) -> LifetimeRule | None:
    """Rules for this very hardware come first; of those that apply to the person, the most generous. None: no end."""
    apply = [rule for rule in rules if rule.flavour_id in (flavour_id, None) and (not rule.role or rule.role in roles)]
    return max(apply, key=_generosity, default=None)


def _generosity(rule: LifetimeRule) -> tuple[bool, float, float, float]:
    lengths = (rule.hours, rule.idle_hours, rule.delete_after_days)
    return (rule.flavour_id is not None, *(float("inf") if length is None else length for length in lengths))  # type: ignore[return-value]


def rule_of(instance: Instance, rules: Iterable[LifetimeRule] | None = None) -> LifetimeRule | None:
    """By its owner's roles now, whoever asks."""
    roles = instance.owner.as_actor().roles
    return rule_for(instance.flavour_id, roles, all_rules() if rules is None else rules)


def roles_of(owners: Collection[int], at: datetime) -> dict[int, frozenset[str]]:
    """The roles that each of these accounts' people holds, through whichever identity. Two queries."""
    people = dict(User.objects.filter(pk__in=owners).values_list("pk", "linked_to"))
    person_of = {owner: linked_to or owner for owner, linked_to in people.items()}
    wanted = set(person_of.values())
    held: dict[int, set[str]] = {person: set() for person in wanted}
    grants = RoleGrant.objects.in_force(at).filter(Q(user__in=wanted) | Q(user__linked_to__in=wanted))
    for account, linked_to, role in grants.values_list("user", "user__linked_to", "role"):
        held[linked_to or account].add(role)
    return {owner: frozenset(held[person]) for owner, person in person_of.items()}


@dataclass(frozen=True, slots=True)
class Extension:
    """What can be done for a later end. `hours` 0: not in one click, and `because` says why."""

    hours: int
    left: int | None = None
    """How often still; None: without limit."""
    may_ask: bool = False
    because: str = ""

    @property
    def by(self) -> timedelta:
        return timedelta(hours=self.hours)

    @property
    def words(self) -> str:
        return length(self.hours)


def extension_for(actor: Actor, instance: Instance, rule: LifetimeRule | None) -> Extension:
    """Owners are bound by the rule, also where they look after other people's instances."""
    if instance.pinned:
        return Extension(0, because="An administrator keeps it from ending: there is nothing to extend.")
    if instance.expires is None:
        return Extension(0, because="Its lifetime has no end, or has not begun: there is nothing to extend.")
    if rule is None:
        return Extension(0, may_ask=True, because="No rule says by how much. Ask for more time.")
    if instance.owner_id not in actor.accounts:
        return Extension(rule.extend_hours)
    left = max(0, rule.extend_times - instance.extensions)
    if left:
        return Extension(rule.extend_hours, left, rule.on_request)
    times = {0: "at all", 1: "once"}.get(rule.extend_times, f"{rule.extend_times} times")
    because = f"You have extended it {times}, as often as you may by yourself."
    if not rule.extend_times:
        because = "You cannot extend it by yourself."
    helped = " Ask for more time." if rule.on_request else " It cannot be extended any more."
    return Extension(0, 0, rule.on_request, because + helped)


@dataclass(frozen=True, slots=True)
class Ending:
    """What its owner was warned of, as long as it holds. `kind`: lifetime, idle or deletion."""

    kind: str
    at: datetime


def ending_of(instance: Instance) -> Ending | None:
    """The nearest end that it was warned of and that its state still leads to."""
    kinds: tuple[str, ...] = ()
    if not instance.pinned and instance.is_open:
        kinds = ("lifetime", "idle")
    elif not instance.pinned and instance.state in AT_REST:
        kinds = ("deletion",)
    given = instance.warnings
    found = [Ending(kind, datetime.fromisoformat(given[kind]["end"])) for kind in kinds if kind in given]
    return min(found, key=lambda one: one.at, default=None)


def length(hours: int) -> str:
    """`7 days`, `36 hours`."""
    number, unit = (hours, "hour") if hours % 24 else (hours // 24, "day")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def promised(rule: LifetimeRule | None) -> str:
    """What is said of a lifetime before a launch: `14 days from when it is ready; you can extend it 2 times`."""
    if rule is None or rule.hours is None:
        return "without end"
    more = "you can ask for more" if rule.on_request else ""
    if rule.extend_times:
        often = {1: "once", 2: "twice"}.get(rule.extend_times, f"{rule.extend_times} times")
        more = f"you can extend it {often}, by {length(rule.extend_hours)}"
    return f"{length(rule.hours)} from when it is ready" + (f"; {more}" if more else "")


def alive(actor: Actor, instance: Instance) -> dict[str, Any]:
    """What a start has to write so that it does not end again at once: an extension, where its lifetime has passed.

    Conflict, with what to do, where that is not theirs to give.
    """
    now = timezone.now()
    if instance.pinned or instance.expires is None or instance.expires > now:
        return {}
    extension = extension_for(actor, instance, rule_of(instance))
    if not extension.hours:
        raise Conflict(f"Its lifetime is over. {extension.because}")
    return {"expires": now + extension.by, "extensions": instance.extensions + 1}


def pending(instance: Instance) -> ExtensionRequest | None:
    return instance.extension_requests.filter(state=ExtensionRequest.State.PENDING).first()


def without(instance: Instance, end: str) -> dict[str, Any]:
    """Its warnings, but for those of one end, which somebody has just moved."""
    return {name: given for name, given in instance.warnings.items() if name != end}
