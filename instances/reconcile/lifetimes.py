"""Acting upon time: the facts of instances, the judgement of expiry.py, and the services that carry it out.

Any number of workers sweep. Each takes instances whose `review_at` has come, and judges once more under the row's lock
before it does anything: an extension or somebody's return is never overtaken.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from instances.errors import Conflict
from instances.models import Connection, Instance, LifetimeRule, Load
from instances.models.connection import App
from instances.services import expire, lifetimes
from instances.services.clouds import provider_for
from instances.states import Phase, State

from . import activity, kernels
from .expiry import Act, Due, End, Facts, Notice, Outlook, Rule, idle_matters, idle_since, outlook

log = logging.getLogger(__name__)
BATCH, ASKED = 200, 20
"""Instances that one sweep takes; and of those, how many it asks over the network."""
CLAIM = timedelta(minutes=5)
"""After a worker's death in the middle of a batch, another one looks at it."""


@dataclass(frozen=True, slots=True)
class Judged:
    instance: Instance
    rule: LifetimeRule | None
    facts: Facts
    outlook: Outlook


def sweep() -> int:
    """Warn, stop and delete whatever it is time for; how many things were done."""
    now = timezone.now()
    claim = now + CLAIM
    with transaction.atomic():
        due = Instance.objects.filter(review_at__lte=now).exclude(state=State.DELETED).order_by("review_at")
        keys = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
        Instance.objects.filter(pk__in=keys).update(review_at=claim)
    judged = list(judge(rows().filter(pk__in=keys), now))
    done = sum(_act(one, now) for one in judged if one.outlook.due or one.outlook.void)
    quiet = [one for one in judged if not (one.outlook.due or one.outlook.void)]
    _look_again([(one.instance, one.outlook.review_at) for one in quiet], claim)
    return done


def rows() -> QuerySet[Instance]:
    """Instances with what is looked at here."""
    related = ("owner", "environment", "flavour", "cloud")
    return Instance.objects.select_related(*related).defer("thumbnail", "notes", "grants")


def judge(instances: Iterable[Instance], now: datetime) -> Iterator[Judged]:
    """Each with the rule that applies to it. A handful of queries for all of them, and at most ASKED questions."""
    instances = list(instances)
    rules = lifetimes.all_rules()
    roles = lifetimes.roles_of({instance.owner_id for instance in instances}, now)
    loads = {load.cloud_id: load for load in Load.objects.filter(cloud__in={i.cloud_id for i in instances})}
    inputs = inputs_of(instances)
    left = ASKED
    for instance in instances:
        rule = lifetimes.rule_for(instance.flavour_id, roles[instance.owner_id], rules)
        load = loads.get(instance.cloud_id) if instance.cloud_id else None
        facts = facts_of(instance, inputs.get(instance.pk), known=activity.known(load, instance.key, now))
        if App.JUPYTER in instance.environment.apps and idle_matters(facts, pure(rule), now):
            facts, left = _with_kernels(instance, facts, now) if left > 0 else _unknown(facts), left - 1
        yield Judged(instance, rule, facts, outlook(facts, pure(rule), now))


def facts_of(instance: Instance, input_at: datetime | None, *, known: bool) -> Facts:
    moments = [at for at in (instance.active_at, input_at) if at]
    return Facts(
        state=State(instance.state),
        state_since=instance.state_since,
        phase=Phase(instance.phase),
        expires=instance.expires,
        active_at=max(moments, default=None),
        activity_known=known,
        keep_until=instance.keep_until,
        pinned=bool(instance.pinned),
        warned={End(name): _notice(stored) for name, stored in instance.warnings.items()},
    )


def inputs_of(instances: Iterable[Instance]) -> dict[object, datetime]:
    """When a person last did something in each: a key, the pointer, a cell that was run."""
    seats = Connection.objects.filter(instance__in=[i.pk for i in instances], input_at__isnull=False)
    return dict(seats.values("instance").annotate(last=Max("input_at")).values_list("instance", "last").order_by())


def pure(rule: LifetimeRule | None) -> Rule:
    if rule is None:
        return Rule()
    hours = {"lifetime": rule.hours, "idle": rule.idle_hours, "kept": _hours(rule.delete_after_days)}
    return Rule(**{name: None if length is None else timedelta(hours=length) for name, length in hours.items()})


def _hours(days: int | None) -> int | None:
    return None if days is None else 24 * days


def _with_kernels(instance: Instance, facts: Facts, now: datetime) -> Facts:
    assert instance.cloud
    active = kernels.last_active(provider_for(instance.cloud), instance.key, now)
    if active is None:
        return _unknown(facts)
    return replace(facts, active_at=max(active, facts.active_at or active))


def _unknown(facts: Facts) -> Facts:
    return replace(facts, activity_known=False)


def _act(judged: Judged, now: datetime) -> bool:
    """Judge again what the row says now, under its lock, and do what is due. Whether something was done."""
    with transaction.atomic():
        instance = rows().select_for_update(of=("self",)).get(pk=judged.instance.pk)
        facts = facts_of(instance, inputs_of([instance]).get(instance.pk), known=judged.facts.activity_known)
        learnt = [at for at in (facts.active_at, judged.facts.active_at) if at]
        facts = replace(facts, active_at=max(learnt, default=None))
        now_due = outlook(facts, pure(judged.rule), now)
        if now_due.void:
            expire.forget(instance, now_due.void)
        fields = {"review_at": now_due.review_at, "active_at": facts.active_at}
        Instance.objects.filter(pk=instance.pk).update(**fields)
        if now_due.due is None:
            return False
        try:
            with transaction.atomic():
                _do(instance, now_due.due, facts)
        except Conflict:
            log.info("instance %s moved while it was judged", instance.pk, exc_info=True)
            return False
    return True


def _do(instance: Instance, due: Due, facts: Facts) -> None:
    since = idle_since(facts) if due.because is End.IDLE else facts.state_since
    if due.act is Act.BEGIN:
        expire.begin(instance, due.end)
    elif due.act is Act.WARN:
        assert due.notice
        expire.warn(instance, due.because, _stored(due.notice), end_at=due.end, since=since)
    else:
        carry_out = expire.delete if due.act is Act.DELETE else expire.stop
        carry_out(instance, expire.done(due.because, due.end, since))


def _look_again(found: Sequence[tuple[Instance, datetime]], claim: datetime) -> None:
    """In one statement. Whoever has asked for an earlier look meanwhile gets it."""
    if not found:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE instances_instance AS i SET review_at = v.at"
            " FROM unnest(%s::uuid[], %s::timestamptz[]) AS v (id, at) WHERE i.id = v.id AND i.review_at = %s",
            [[instance.pk for instance, _ in found], [at for _, at in found], claim],
        )


def _notice(stored: dict[str, str | bool]) -> Notice:
    of, at, end = (datetime.fromisoformat(str(stored[name])) for name in ("of", "at", "end"))
    return Notice(of=of, at=at, last=bool(stored["last"]), end=end)


def _stored(notice: Notice) -> dict[str, str | bool]:
    return {
        "of": notice.of.isoformat(),
        "at": notice.at.isoformat(),
        "last": notice.last,
        "end": notice.end.isoformat(),
    }
