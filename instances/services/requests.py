"""Requests to be let in: what becomes of them, by whoever decides it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from auth import audit, bus
from auth.access import Actor
from auth.models import User
from instances.models import AccessRequest, Instance, Member
from instances.models.access_request import Answer
from instances.policy import Capacity, capacity_of

from . import members, presence, transitions
from .mail import Kind, notify
from .visibility import facts

PATIENCE = timedelta(hours=1)
"""How long a request stays open."""
LOOK = timedelta(hours=1)
"""How long somebody may look whom the facility's rule let in."""
BATCH = 50
GIVEN = {Answer.CONTROL: Member.Role.COLLABORATOR, Answer.WATCH: Member.Role.VIEWER}


def outside(instance: Instance, user: User) -> list[str]:
    """The proposals of its experiments in whose team `user` is not, and which they do not look after."""
    actor = user.as_actor()
    return sorted(
        {
            experiment.proposal.code
            for experiment in instance.experiments.select_related("proposal", "instrument")
            if experiment.pk not in actor.supports
            and (experiment.instrument_id not in actor.instruments or experiment.proposal.proprietary)
            and not experiment.proposal.experiments.filter(participations__user__in=actor.accounts).exists()
        }
    )


def told(instance: Instance, users: Iterable[int]) -> None:
    """Whoever may look at the instance, and those who asked, look again."""
    bus.announce("people", instance=str(instance.pk))
    bus.announce("request", instance=str(instance.pk), users=sorted(set(users)))


def close(
    request: AccessRequest, answer: Answer, *, actor: Actor | None, by: User | None, until: datetime | None = None
) -> None:
    """Write down the answer and do what it says, within the caller's transaction."""
    instance, person = request.instance, request.user
    request.answer, request.answered, request.answered_by = answer, timezone.now(), by
    request.save(update_fields=["answer", "answered", "answered_by"])
    who = actor.name if actor else "The facility’s rule"
    because = f"{who} {_SAID[answer].format(person.name)}"
    if role := GIVEN.get(answer):
        before = instance.members.filter(user=person).first()
        fields: dict[str, Any] = {"role": role, "added_by": by}
        if before is None or before.basis == Member.Basis.SUPPORT:
            fields |= {"until": until, "basis": Member.Basis.SUPPORT}
        member, _ = Member.objects.update_or_create(instance=instance, user=person, defaults=fields)
        presence.set_mode(member, instance)
        members.changed(instance, person, because=because)
        transitions.told(instance, because, actor=actor)
    told(instance, [person.pk])
    detail = {"user": person.pk, "answer": answer, "capacity": request.capacity, "reason": request.reason}
    if answer in GIVEN:
        detail |= {"until": until.isoformat() if until else None, "outside": outside(instance, person)}
    audit.record("access.answer", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)


_SAID = {
    Answer.CONTROL: "let {} watch and work in it",
    Answer.WATCH: "let {} watch it",
    Answer.NO: "does not let {} in",
    Answer.WITHDRAWN: "does not ask any longer ({})",
    Answer.LAPSED: "ended the request of {}: nobody answered it",
}


def by_rule(request: AccessRequest) -> bool:
    """Let them watch if the facility's rule says so by now; within the caller's transaction. The owner is told."""
    waits = settings.WHEN_AWAY.get(Capacity(request.capacity))
    instance, now = request.instance, timezone.now()
    if waits is None or request.asked + waits > now or presence.owner_is_there(instance) or not instance.is_open:
        return False
    until = now + LOOK
    close(request, Answer.WATCH, actor=None, by=None, until=until)
    notify(
        instance.owner.person,
        Kind.ACCESS_GIVEN,
        key=f"access-given:{request.pk}",
        instance=instance,
        by=request.user.name,
        capacity=request.capacity_label,
        reason=request.reason,
        until=until,
    )
    return True


def end_waiting() -> int:
    """What time and the facility's rules decide; how many requests that were. Any number of workers may call it."""
    now = timezone.now()
    due = Q(asked__lte=now - PATIENCE)
    for capacity, waits in settings.WHEN_AWAY.items():
        due |= Q(capacity=capacity, asked__lte=now - waits)
    done = 0
    for key in list(AccessRequest.objects.filter(due, answered=None).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            row = open_requests().filter(pk=key).first()
            if row is None:
                continue
            if not capacity_of(row.user.as_actor(), facts(row.instance)) or row.asked <= now - PATIENCE:
                close(row, Answer.LAPSED, actor=None, by=None)
                done += 1
            else:
                done += by_rule(row)
    return done


def open_requests() -> QuerySet[AccessRequest]:
    """Locked; those that somebody else is deciding about are left out."""
    rows = AccessRequest.objects.filter(answered=None).select_related("user", "instance__owner")
    return rows.select_for_update(of=("self",), skip_locked=True)
