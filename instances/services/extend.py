"""More time: in one click where a rule allows it, by asking otherwise."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import User
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import ExtensionRequest, Instance
from instances.policy import Action, may_administer, may_decide_extension
from instances.states import State

from . import lifetimes, mail
from .transitions import told
from .visibility import find

REASON = range(10, 501)
"""Characters of what a request says."""
Asked = ExtensionRequest.State


def extend(instance_id: UUID | str, *, acting_user: User, seen: datetime | None = None) -> Instance:
    """A later end, by as much as the rule gives. Conflict says what to do where it gives nothing.

    `seen`: the end that the asker saw. Where it is another by now, somebody has pressed twice, and nothing happens.
    """
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.EXTEND, lock=True)
        _alive(instance)
        if seen is not None and instance.expires != seen:
            return instance
        extension = lifetimes.extension_for(actor, instance, lifetimes.rule_of(instance))
        if not extension.hours or instance.expires is None:
            raise Conflict(extension.because)
        until = max(instance.expires, timezone.now()) + extension.by
        counted: dict[str, Any] = {"extensions": instance.extensions + 1} if instance.owner_id in actor.accounts else {}
        give(instance, until, actor, f"Extended by {extension.words}", action="instance.extend", **counted)
    return instance


def ask_extension(instance_id: UUID | str, *, acting_user: User, until: datetime, because: str) -> ExtensionRequest:
    """Ask the administrators for an end of one's choice. Invalid names the field; Conflict where there is no asking."""
    actor, because, now = acting_user.as_actor(), " ".join(because.split()), timezone.now()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.KEEP, lock=True)
        _alive(instance)
        extension = lifetimes.extension_for(actor, instance, lifetimes.rule_of(instance))
        if instance.expires is None or not extension.may_ask:
            raise Conflict(extension.because or "For this hardware nobody gives more time than that.")
        if lifetimes.pending(instance):
            raise Conflict("You have asked already. Withdraw that request first, if it is not what you need.")
        wrong = {}
        if not max(instance.expires, now) < until <= now + lifetimes.LONGEST:
            wrong["until"] = f"Choose a day after its present end, within {lifetimes.LONGEST.days} days."
        if len(because) not in REASON:
            wrong["because"] = f"Say what you need it for, in {REASON.start} to {REASON.stop - 1} characters."
        if wrong:
            raise Invalid(wrong)
        request = ExtensionRequest.objects.create(
            instance=instance, asked_by=acting_user, until=until, because=because, asked=now
        )
        told(instance, f"Asked for more time, until {until:%-d %B %Y}", actor=actor)
        mail.notify_administrators(
            mail.Kind.EXTENSION_ASKED,
            key=f"extension-asked:{request.pk}",
            instance=instance,
            by=actor.name,
            until=until.isoformat(),
            reason=because,
        )
        detail = {"request": request.pk, "until": until.isoformat()}
        audit.record("extension.ask", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)
    return request


def withdraw(request_id: int, *, acting_user: User) -> ExtensionRequest:
    """Whoever asked takes it back. Conflict when it is decided."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        request = _pending(request_id, lambda asked_by: asked_by in actor.accounts)
        request.state, request.decided = Asked.WITHDRAWN, timezone.now()
        request.save(update_fields=["state", "decided"])
        told(request.instance, "Took back the request for more time", actor=actor)
        detail = {"request": request.pk}
        audit.record("extension.withdraw", f"instance:{request.instance_id}", actor=actor, detail=detail)
    return request


def decide_extension(
    request_id: int, *, acting_user: User, accept: bool, comment: str = "", until: datetime | None = None
) -> ExtensionRequest:
    """Give what was asked for, or another end `until`, or nothing; a refusal needs its reason. One decision only."""
    actor, comment = acting_user.as_actor(), " ".join(comment.split())
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    with transaction.atomic():
        request = _pending(request_id, lambda asked_by: True)
        if not (decision := may_decide_extension(actor, asked_by=request.asked_by_id)):
            raise Denied(decision)
        instance, now = request.instance, timezone.now()
        wrong = {}
        until = until or request.until
        if accept and not now < until <= now + lifetimes.LONGEST:
            wrong["until"] = f"Choose a day within the next {lifetimes.LONGEST.days} days."
        if not accept and not comment:
            wrong["comment"] = "Say why: they read it."
        if len(comment) >= REASON.stop:
            wrong["comment"] = f"At most {REASON.stop - 1} characters."
        if wrong:
            raise Invalid(wrong)
        request.state = Asked.ACCEPTED if accept else Asked.REFUSED
        request.decided_by, request.decided, request.comment = acting_user, now, comment
        request.until = until if accept else request.until
        request.save(update_fields=["state", "decided_by", "decided", "comment", "until"])
        ends = until if accept else instance.expires
        mail.notify(
            request.asked_by,
            mail.Kind.EXTENSION_DECIDED,
            key=f"extension-decided:{request.pk}",
            instance=instance,
            granted=accept,
            until=ends.isoformat() if ends else None,
            reason=comment,
            by=actor.name,
        )
        said = f": {comment}" if comment else ""
        detail = {"request": request.pk}
        if accept:
            give(instance, until, actor, f"More time was given{said}", action="extension.accept", detail=detail)
        else:
            told(instance, f"More time was refused{said}", actor=actor)
            audit.record("extension.refuse", f"instance:{instance.pk}", actor=actor, because=comment, detail=detail)
    return request


def give(
    instance: Instance,
    until: datetime,
    actor: Actor,
    reason: str,
    *,
    action: str,
    detail: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Its lifetime ends then, never sooner than before; what was warned of does not come."""
    before = instance.expires
    until = max(until, before) if before else until
    fields |= {"expires": until, "warnings": lifetimes.without(instance, "lifetime"), "review_at": timezone.now()}
    Instance.objects.filter(pk=instance.pk).update(**fields)
    for name, value in fields.items():
        setattr(instance, name, value)
    told(instance, f"{reason}; it lives until {until:%-d %B %Y, %H:%M} UTC", actor=actor)
    changed = {"before": before.isoformat() if before else None, "after": until.isoformat()}
    audit.record(action, f"instance:{instance.pk}", actor=actor, because=reason, detail=(detail or {}) | changed)


def _alive(instance: Instance) -> None:
    if instance.state == State.DELETING:
        raise Conflict("It is being deleted.")


def _pending(request_id: int, known: Any) -> ExtensionRequest:
    """The request with its instance, both locked. Instances first, as everywhere."""
    found = ExtensionRequest.objects.filter(pk=request_id).values_list("instance", "asked_by").first()
    if found is None or not known(found[1]):
        raise NotFound("There is no such request.")
    instance = Instance.objects.select_related("owner", "flavour").select_for_update(of=("self",)).get(pk=found[0])
    request = ExtensionRequest.objects.select_related("asked_by").select_for_update(of=("self",)).get(pk=request_id)
    if request.state != Asked.PENDING:
        raise Conflict(f"It is {request.get_state_display().lower()} already.")
    request.instance = instance
    return request
