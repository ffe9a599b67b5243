"""Which instances somebody may know of: the queryset twin of `policy.may(…, Action.SEE, …)`."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from auth import permissions
from auth.access import Actor, Role
from auth.data import Part, window
from auth.models import Experiment
from instances.errors import Denied, NotFound
from instances.models import Instance, Member
from instances.policy import OVERSEERS, Action, InstanceFacts, may
from instances.states import State

EXPERIMENTS = Prefetch("experiments", queryset=Experiment.objects.select_related("proposal", "instrument"))
RELATED = (EXPERIMENTS, "members")
"""To be fetched with instances: then the rules cost no query."""


def visible_to(actor: Actor, *, at: datetime | None = None) -> QuerySet[Instance]:
    """Every instance, deleted ones included, that `actor` may see."""
    if not actor.active:
        return Instance.objects.none()
    if actor.has(*OVERSEERS, Role.AUDITOR):
        return Instance.objects.all()
    now = at or timezone.now()
    let_in = Member.objects.filter(_holds(now), user__in=actor.accounts)
    mine = Q(owner__in=actor.accounts) | Q(pk__in=let_in.values("instance"))
    if not (actor.instruments or actor.supports or actor.controls):
        return Instance.objects.filter(mine)
    looked_after = Instance.experiments.through._default_manager.filter(_looked_after(actor, now))
    return Instance.objects.filter(mine | Q(pk__in=looked_after.values("instance")))


def _holds(now: datetime) -> Q:
    return Q(until=None) | Q(until__gt=now)


def _looked_after(actor: Actor, now: datetime) -> Q:
    """Links of instances to experiments by which `actor` sees the instance."""
    table = permissions.table()
    row = table.rows[Part.LOCAL_CONTACT]
    supported = Q(experiment__in=actor.supports)
    if row.days_before is not None:
        supported &= Q(experiment__start__lte=now + timedelta(days=row.days_before))
    if row.days_after is not None:
        supported &= Q(experiment__end__gt=now - timedelta(days=row.days_after))
    margin = timedelta(days=table.control_days)
    return (
        Q(experiment__instrument__in=actor.instruments, experiment__proposal__proprietary=False)
        | supported
        | Q(
            experiment__instrument__in=actor.controls,
            experiment__start__lte=now + margin,
            experiment__end__gt=now - margin,
        )
    )


def facts(instance: Instance, *, at: datetime | None = None) -> InstanceFacts:
    """What the rules want to know of it. No query when its experiments, with their proposals, are prefetched."""
    now = at or timezone.now()
    experiments = experiments_of(instance)
    return InstanceFacts(
        id=str(instance.pk),
        owner_id=instance.owner_id,
        state=State(instance.state),
        withheld=instance.withheld,
        experiments=frozenset(e.pk for e in experiments),
        instruments=frozenset(e.instrument_id for e in experiments if not e.proposal.proprietary),
        supported=frozenset(e.pk for e in experiments if _is_supported(e, now)),
        controlled=frozenset(e.instrument_id for e in experiments if _is_near(e, now)),
        members={m.user_id: m.role for m in instance.members.all() if m.until is None or m.until > now},
    )


def experiments_of(instance: Instance) -> list[Experiment]:
    prefetch_related_objects([instance], *RELATED)  # which does nothing when that was done
    return list(instance.experiments.all())


def experiments_shown(actor: Actor, instance: Instance, *, at: datetime | None = None) -> list[Experiment]:
    """Those of its experiments that `actor` may know of: who sees an instance because of one does not learn of others.

    They are all of them for whoever may inspect it.
    """
    now = at or timezone.now()
    experiments = experiments_of(instance)
    if may(actor, Action.INSPECT, facts(instance, at=now)):
        return experiments
    return [
        e
        for e in experiments
        if (e.instrument_id in actor.instruments and not e.proposal.proprietary)
        or (e.pk in actor.supports and _is_supported(e, now))
        or (e.instrument_id in actor.controls and _is_near(e, now))
    ]


def _is_supported(experiment: Experiment, now: datetime) -> bool:
    since, end = window(experiment.start, experiment.end, permissions.table().rows[Part.LOCAL_CONTACT])
    return (since is None or since <= now) and (end is None or now < end)


def _is_near(experiment: Experiment, now: datetime) -> bool:
    margin = timedelta(days=permissions.table().control_days)
    return experiment.start <= now + margin and now - margin < experiment.end


def find(instance_id: UUID | str, *, actor: Actor, action: Action, lock: bool = False) -> Instance:
    """The instance, for `action`. What `actor` may not see does not exist: NotFound, whatever the action.

    With `lock` the row stays locked until the caller's transaction ends.
    """
    now = timezone.now()
    rows = visible_to(actor, at=now).select_related("owner", "environment", "flavour", "cloud")
    try:
        instance = (rows.select_for_update(of=("self",), no_key=True) if lock else rows).get(pk=_uuid(instance_id))
    except Instance.DoesNotExist:
        raise NotFound("There is no such instance.") from None
    decision = may(actor, action, facts(instance, at=now))
    if not decision:
        raise Denied(decision)
    return instance


def _uuid(value: UUID | str) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError:
        raise NotFound("There is no such instance.") from None
