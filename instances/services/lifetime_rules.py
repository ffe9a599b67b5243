"""The rules of how long instances live: set and taken away by administrators, with a reason."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor, Role
from auth.models import User
from instances.errors import Denied, Invalid, NotFound
from instances.models import Flavour, Instance, LifetimeRule
from instances.policy import may_administer
from instances.states import State

from .roles import reason_problem

LENGTHS = {
    "hours": (range(1, 24 * 3660), "A lifetime is 1 hour to 10 years; leave it empty for none."),
    "idle_hours": (range(1, 24 * 366), "Idle time is 1 hour to a year; leave it empty for never."),
    "delete_after_days": (range(1, 3660), "1 day to 10 years; leave it empty for never."),
    "extend_times": (range(0, 101), "0 to 100 times."),
    "extend_hours": (range(1, 24 * 366), "An extension is 1 hour to a year."),
}
MAY_BE_EMPTY = ("hours", "idle_hours", "delete_after_days")


def set_rule(
    *,
    acting_user: User,
    because: str,
    flavour: Flavour | None,
    role: str,
    on_request: bool,
    rule: LifetimeRule | None = None,
    **lengths: int | None,
) -> LifetimeRule:
    """A new rule, or `rule` changed. Invalid has a sentence per field. Instances are looked at anew at once."""
    actor, because = _administrator(acting_user), " ".join(because.split())
    problems = reason_problem(because) | _problems(role, lengths)
    with transaction.atomic():
        rows = LifetimeRule.objects.select_for_update(of=("self",))
        row = rows.filter(pk=rule.pk).first() if rule else LifetimeRule()
        if row is None:
            raise NotFound("There is no such rule.")
        if rows.filter(flavour=flavour, role=role).exclude(pk=row.pk).exists():
            problems["role"] = "There is a rule for them on this hardware already. Change that one."
        if problems:
            raise Invalid(problems)
        before = _as_json(row) if row.pk else None
        row.flavour, row.role, row.on_request = flavour, role, on_request
        for name, length in lengths.items():
            setattr(row, name, length)
        row.save()
        _look_anew()
        detail = {"rule": str(row), "before": before, "after": _as_json(row)}
        audit.record("lifetime.set", f"lifetime:{row.pk}", actor=actor, because=because, detail=detail)
    return row


def remove_rule(*, acting_user: User, rule: LifetimeRule, because: str) -> None:
    """What it held for follows another rule, or none."""
    actor, because = _administrator(acting_user), " ".join(because.split())
    with transaction.atomic():
        row = LifetimeRule.objects.select_for_update(of=("self",)).filter(pk=rule.pk).first()
        if row is None:
            raise NotFound("There is no such rule.")
        if problem := reason_problem(because):
            raise Invalid(problem)
        key, detail = row.pk, {"rule": str(row), "before": _as_json(row)}
        row.delete()
        _look_anew()
        audit.record("lifetime.remove", f"lifetime:{key}", actor=actor, because=because, detail=detail)


def _administrator(acting_user: User) -> Actor:
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    return actor


def _problems(role: str, lengths: dict[str, int | None]) -> dict[str, str]:
    problems = {}
    if role and role not in set(Role):
        problems["role"] = "Choose a role, or everybody."
    for name, length in lengths.items():
        allowed, sentence = LENGTHS[name]
        if length is None and name in MAY_BE_EMPTY:
            continue
        if length is None or length not in allowed:
            problems[name] = sentence
    return problems


def _look_anew() -> None:
    Instance.objects.exclude(state=State.DELETED).update(review_at=timezone.now())


def _as_json(rule: LifetimeRule) -> dict[str, Any]:
    return {
        "flavour": rule.flavour.slug if rule.flavour else None,
        "role": rule.role,
        "on_request": rule.on_request,
        **{name: getattr(rule, name) for name in LENGTHS},
    }
