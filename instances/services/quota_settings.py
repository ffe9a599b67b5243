"""Quotas as administrators set and remove them."""

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor, Role
from auth.models import Instrument, Proposal, User
from instances.errors import Denied, Invalid, NotFound
from instances.models import Quota
from instances.policy import may_administer
from instances.quotas import Limits, Scope

from . import quotas
from .roles import reason_problem

MOST = 2_000_000_000
"""What the database holds."""


def set_quota(
    *,
    acting_user: User,
    scope: Scope,
    limits: Limits,
    because: str,
    user: User | None = None,
    role: Role | None = None,
    proposal: Proposal | None = None,
    instrument: Instrument | None = None,
) -> Quota:
    """The limits of `scope`, or of the one that is named. What was set for the same before is replaced.

    Denied to all but administrators; Invalid has a sentence per field.
    """
    because = " ".join(because.split())
    problems = reason_problem(because) | _problems(limits)
    if scope is Scope.ROLE and role is None:
        problems["role"] = "Choose the role."
    with transaction.atomic():
        actor = _administrator(acting_user)
        if problems:
            raise Invalid(problems)
        quotas.lock()
        user = user.person if user else None
        about = {"scope": scope, "user": user, "role": role or "", "proposal": proposal, "instrument": instrument}
        row = Quota.objects.filter(**about).first() or Quota(**about)
        before = detail_of(row.limits) if row.pk else None
        row.instances, row.cores, row.memory_mb = limits.instances, limits.cores, limits.memory_mb
        row.gpus, row.because, row.set_by, row.set_at = dict(limits.gpus), because, acting_user, timezone.now()
        row.save()
        detail = {"quota": str(row), "limits": detail_of(limits), "before": before}
        audit.record("quota.set", f"quota:{row.pk}", actor=actor, because=because, detail=detail)
    return row


def remove_quota(*, acting_user: User, quota: Quota, because: str) -> None:
    """It limits nothing any longer. NotFound when somebody else removed it meanwhile."""
    because = " ".join(because.split())
    with transaction.atomic():
        actor = _administrator(acting_user)
        if problem := reason_problem(because):
            raise Invalid(problem)
        row = Quota.objects.select_for_update(of=("self",)).filter(pk=quota.pk).first()
        if row is None:
            raise NotFound("There is no such quota any more.")
        detail = {"quota": str(row), "before": detail_of(row.limits)}
        row.delete()
        audit.record("quota.remove", f"quota:{quota.pk}", actor=actor, because=because, detail=detail)


def detail_of(limits: Limits) -> dict[str, float]:
    return dict(limits)


def _problems(limits: Limits) -> dict[str, str]:
    problems = {
        resource: f"Give a number from 0 to {MOST:,}, or nothing for no limit."
        for resource, limit in limits
        if not 0 <= limit <= MOST
    }
    return problems if limits else {"limits": "Set at least one limit. To lift them all, remove the quota."}


def _administrator(acting_user: User) -> Actor:
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    return actor
