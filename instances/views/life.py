"""How much time an instance has left, in the words and numbers that its pages show."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from auth.access import Actor
from instances.models import Instance, LifetimeRule
from instances.services.lifetimes import Ending, Extension, all_rules, ending_of, extension_for, rule_for, rule_of
from instances.states import State

SOON = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Life:
    whole: int
    """Seconds from its creation to the end of its lifetime; 0 where that has no end."""
    left: int
    ending: Ending | None
    extension: Extension | None
    """For those who may extend it; in lists only for its owner, whose rule costs no query."""

    @property
    def soon(self) -> bool:
        return self.whole > 0 and self.left <= SOON.total_seconds()


def life_of(actor: Actor, instance: Instance, *, extends: bool, rules: Iterable[LifetimeRule] | None = None) -> Life:
    """`rules`: those that were loaded for a whole list, so that each of it costs no query."""
    now = timezone.now()
    whole = left = 0
    if instance.expires and not instance.pinned and instance.state != State.DELETED:
        whole = max(1, int((instance.expires - instance.created).total_seconds()))
        left = min(whole, max(0, int((instance.expires - now).total_seconds())))
    return Life(whole, left, ending_of(instance), _extension(actor, instance, rules) if extends else None)


def _extension(actor: Actor, instance: Instance, rules: Iterable[LifetimeRule] | None) -> Extension | None:
    if instance.owner_id in actor.accounts:
        known = all_rules() if rules is None else rules
        return extension_for(actor, instance, rule_for(instance.flavour_id, actor.roles, known))
    return extension_for(actor, instance, rule_of(instance)) if rules is None else None
