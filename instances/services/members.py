"""Who may be let into an instance, who has been, and the ends that nobody asks for."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from auth import audit, bus, rights
from auth.access import Actor
from auth.models import Participation, User
from instances.models import Connection, Instance, Member
from instances.policy import Capacity, capacity_of

from .visibility import facts

BATCH = 50
FOUND = 20
"""People whom a search shows at most."""
OVER = "The time for which it was shared with you is over."
NO_BUSINESS = "You do not look after its experiments any longer."
NO_TEAM = "You are not in the team of its experiments any longer."


def team_of(instance: Instance) -> QuerySet[User]:
    """Accounts of those who take part in the proposals of its experiments, in whichever part; never its owner's."""
    proposals = instance.experiments.values("proposal")
    parts = Participation.objects.filter(experiment__proposal__in=proposals)
    owner = instance.owner.linked_to_id or instance.owner_id
    taking_part = Q(pk__in=parts.values("user")) | Q(others__in=parts.values("user"))
    return (
        User.objects.filter(taking_part, linked_to=None, is_active=True)
        .exclude(pk=owner)
        .distinct()
        .order_by("name", "pk")
    )


def candidates(instance: Instance, search: str = "") -> list[User]:
    """Of the team, those who are not let in yet and whose name, user name or affiliation has every word of `search`."""
    found = team_of(instance).exclude(memberships__instance=instance)
    for word in search.split()[:5]:
        found = found.filter(Q(name__icontains=word) | Q(username__icontains=word) | Q(affiliation__icontains=word))
    return list(found[:FOUND])


def changed(instance: Instance, user: User, *, because: str) -> None:
    """After the row was written, before the trail is: whoever sits there is looked at again, in every broker."""
    rights.announce(users={user.pk}, because=because)
    bus.announce("people", instance=str(instance.pk))


def let_go(member: Member, *, actor: Actor | None, because: str, reason: str) -> None:
    """Within the caller's transaction. `because` is for the trail, `reason` is told to whoever sits there."""
    instance, user = member.instance, member.user
    seats = Connection.objects.filter(
        instance=instance, user__in=rights.with_their_other_accounts({user.pk}), closed=None
    )
    for seat in seats.values_list("pk", flat=True):
        bus.announce("close", connection=str(seat), reason=reason)
    detail = {"user": user.pk, "role": member.role}
    member.delete()
    changed(instance, user, because=because)
    audit.record("instance.unshare", f"instance:{instance.pk}", actor=actor, because=because, detail=detail)


def end_lapsed() -> int:
    """Act upon ends that have come; how many there were. Any number of workers may call it at once."""
    for done in range(BATCH):
        with transaction.atomic():
            member = _locked(Member.objects.filter(until__lte=timezone.now())).first()
            if member is None:
                return done
            let_go(member, actor=None, because="The time for which it was shared is over", reason=OVER)
    return BATCH


def recheck(*, users: Iterable[int], proposals: Iterable[int], because: str, **_: Any) -> None:
    """Receiver of auth.rights.changed: whoever was let in as one of the team, or as somebody who looks after it, and is
    that no longer, is out."""
    about = Q(user__in=list(users)) | Q(instance__experiments__proposal__in=list(proposals))
    wanted = Member.objects.filter(about).values("pk")
    for member in _locked(Member.objects.filter(pk__in=wanted)):
        if member.basis == Member.Basis.SUPPORT:
            if capacity_of(member.user.as_actor(), facts(member.instance)) in (None, Capacity.MEMBER):
                let_go(member, actor=None, because=f"{member.user.name} does not look after it now", reason=NO_BUSINESS)
        elif member.basis == Member.Basis.TEAM and not team_of(member.instance).filter(pk=member.user_id).exists():
            let_go(member, actor=None, because=f"{member.user.name} is not in the team any longer", reason=NO_TEAM)


def _locked(rows: QuerySet[Member]) -> QuerySet[Member]:
    related = rows.select_related("user", "instance__owner").order_by("pk")
    return related.select_for_update(of=("self",), skip_locked=True)
