"""Handing an instance over: its owner offers it to a member, who accepts. It then starts anew, as theirs.

What is in it is its owner's: their home, their rights to data, their account. So it changes hands only while it does
not run, and the next start mounts what the new owner may see.
"""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.models import User
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import Instance, Member, Ticket
from instances.models.access_request import Answer
from instances.models.instance import Alone
from instances.policy import Action, may_launch
from instances.states import State

from . import grants as data
from . import members, quotas, requests, transitions
from .invite import open_ones
from .mail import Kind, notify
from .visibility import find

AT_REST = (State.STOPPED, State.FAILED)
TAKEN_OVER = "The instance has another owner now."


def offer(instance_id: UUID | str, *, acting_user: User, user: int | None) -> Instance:
    """Offer it to the member `user`, and to nobody else; None takes an offer back. Invalid names the field."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SHARE, lock=True)
        instance.members.exclude(offered=None).update(offered=None)
        member = instance.members.select_related("user").filter(user=user).first() if user else None
        if user and (member is None or member.basis != Member.Basis.TEAM):
            raise Invalid({"user": "Only somebody of the team whom you have let in can take it over."})
        if member:
            member.offered = timezone.now()
            member.save(update_fields=["offered"])
            notify(
                member.user,
                Kind.OFFERED,
                key=f"offered:{member.pk}:{member.offered:%Y%m%d%H%M}",
                instance=instance,
                by=actor.name,
            )
        requests.told(instance, [user] if user else [])
        audit.record("instance.offer", f"instance:{instance.pk}", actor=actor, detail={"user": user})
    return instance


def decline(instance_id: UUID | str, *, acting_user: User) -> Instance:
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.SEE, lock=True)
        _offered(instance, acting_user)
        instance.members.exclude(offered=None).update(offered=None)
        requests.told(instance, [])
        audit.record("instance.decline", f"instance:{instance.pk}", actor=actor)
    return instance


def accept(instance_id: UUID | str, *, acting_user: User) -> Instance:
    """It belongs to whoever accepts; its former owner may work in it. Their start mounts their data and their home.

    Denied where the rules give them none of its data; Invalid where their quota leaves no room; Conflict while it runs.
    """
    actor, person = acting_user.as_actor(), acting_user.person
    with transaction.atomic():
        quotas.lock()
        instance = find(instance_id, actor=actor, action=Action.SEE, lock=True)
        _offered(instance, acting_user)
        if instance.state not in AT_REST:
            raise Conflict("It can be taken over only while it is stopped. Its owner can stop it.")
        former = instance.owner
        instance.owner = person
        entitlements = data.entitlements(instance, at=timezone.now())
        refusals = tuple(entitled.because for entitled in entitlements.values() if not entitled)
        if refusals:
            raise Denied(may_launch(actor, takes_part=False, refusals=refusals))
        experiments = list(instance.experiments.select_related("proposal", "instrument"))
        quotas.check(actor, instance.flavour, experiments, taken=instance)
        for name, value in data.columns(data.granted_by(entitlements)).items():
            setattr(instance, name, value)
        instance.alone, instance.thumbnail, instance.thumbnail_at = Alone.ALLOWED, None, None
        instance.save()
        _let_go_of(instance)
        instance.members.filter(user=person).delete()
        if members.team_of(instance).filter(pk=former.person.pk).exists():
            role = Member.Role.COLLABORATOR
            Member.objects.create(instance=instance, user=former.person, role=role, added_by=person)
        because = f"{person.name} took it over from {former.name}"
        for one in (former.person, person):
            members.changed(instance, one, because=because)
        transitions.told(instance, because, actor=actor)
        detail = {"before": former.pk, "after": person.pk}
        audit.record("instance.transfer", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)
    return instance


def _let_go_of(instance: Instance) -> None:
    """What the former owner gave out, and has not been used."""
    open_ones(instance).update(ended=timezone.now())
    Ticket.objects.filter(instance=instance, redeemed=None).delete()
    for request in requests.open_requests().filter(instance=instance):
        requests.close(request, Answer.LAPSED, actor=None, by=None)


def _offered(instance: Instance, user: User) -> None:
    if not instance.members.filter(user=user.person, offered__isnull=False).exists():
        raise NotFound("It is not offered to you.")
