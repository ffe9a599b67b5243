"""Experiments that somebody may use, with the folders that each gives and the reason."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.utils import timezone

from auth import permissions
from auth.access import Actor, Role, RoleHeld
from auth.data import Entitlement, Held, Part, entitlement
from auth.models import Experiment, Participation, Proposal, User
from instances.errors import NotFound
from instances.policy import BLOCKED, OVERSEERS


class Share(StrEnum):
    """Of the experiments that somebody may know of."""

    ALL = "all"
    YOURS = "yours"
    """Those they take part in, and those on their instruments."""
    OPEN = "open"
    """Those whose data anyone may read."""


def known_to(actor: Actor, *, at: datetime | None = None, share: Share = Share.ALL) -> QuerySet[Experiment]:
    """Those they take part in, those on their instruments, and open data. Newest first.

    All conditions are on the experiment's own columns: the database looks each row up in small sets and counts tens of
    thousands without a join.
    """
    now = at or timezone.now()
    found = Experiment.objects.select_related("proposal", "instrument").order_by("-start", "id")
    if not actor.active:
        return found.none()
    match share:
        case Share.YOURS:
            return found.filter(_yours(actor, now))
        case Share.OPEN:
            return found.filter(_open(now))
    return found.filter(_yours(actor, now) | _open(now))


def _yours(actor: Actor, now: datetime) -> Q:
    yours = (
        Q(pk__in=Participation.objects.filter(user__in=actor.accounts).values("experiment"))
        | Q(pk__in=actor.experiments)
        | Q(instrument__in=actor.instruments) & ~Q(proposal__in=Proposal.objects.filter(proprietary=True))
    )
    if actor.controls:
        margin = timedelta(days=permissions.table().control_days)
        yours |= Q(instrument__in=actor.controls, start__lte=now + margin, end__gt=now - margin)
    return yours


def _open(now: datetime) -> Q:
    if not permissions.table().open_data:
        return Q(pk__in=[])
    today = now.astimezone(UTC).date()
    return Q(proposal__in=Proposal.objects.filter(released__lte=today, proprietary=False).exclude(doi=""))


def find_experiment(experiment_id: int, *, actor: Actor, at: datetime | None = None) -> Experiment:
    """NotFound unless `actor` may know of it: nobody can list what is measured here."""
    everything = Experiment.objects.select_related("proposal", "instrument")
    overseer = actor.active and actor.has(*OVERSEERS, Role.AUDITOR)
    found = (everything if overseer else known_to(actor, at=at)).filter(pk=experiment_id).first()
    if not found:
        raise NotFound("There is no such experiment.")
    return found


def takes_part(actor: Actor) -> bool:
    """In any experiment, whenever it was, or as scientist of an instrument."""
    return (
        bool(actor.instruments or actor.experiments) or Participation.objects.filter(user__in=actor.accounts).exists()
    )


def my_experiments(*, acting_user: User, search: str = "") -> QuerySet[Experiment]:
    """`known_to` the user, as `searched`."""
    return searched(known_to(acting_user.as_actor()), search)


def searched(found: QuerySet[Experiment], search: str) -> QuerySet[Experiment]:
    """Those where every word of `search` occurs somewhere."""
    for word in search.split():
        found = found.filter(
            Q(title__icontains=word)
            | Q(proposal__code__icontains=word)
            | Q(proposal__title__icontains=word)
            | Q(proposal__doi__icontains=word)
            | Q(instrument__code__icontains=word)
            | Q(instrument__name__icontains=word)
        )
    return found


def entitlements_of(
    actor: Actor, experiments: Iterable[Experiment], *, at: datetime | None = None
) -> dict[int, Entitlement]:
    """For each experiment (with proposal and instrument selected) the folders it gives `actor`. One query; two more
    where roles were given by people or identities are linked.
    """
    experiments = list(experiments)
    if not actor.active:
        return {e.pk: Entitlement(because=BLOCKED) for e in experiments}
    held = _held(actor, experiments)
    now, table = at or timezone.now(), permissions.table()
    return {e.pk: entitlement(e.facts, held[e.pk], now=now, table=table) for e in experiments}


def _held(actor: Actor, experiments: list[Experiment]) -> dict[int, list[Held]]:
    """Every part of theirs in each experiment, by whatever gives it."""
    givers, identities = _givers(actor), _identities(actor)
    found: dict[int, list[Held]] = defaultdict(list)
    parts = Participation.objects.filter(user__in=actor.accounts, experiment__in=experiments)
    for pk, part, source, account in parts.values_list("experiment_id", "part", "source", "user_id"):
        found[pk].append(Held(Part(part), None, source_in_words(source, givers), identities.get(account, "")))
    for role in actor.held:
        said = Held(
            Part.LOCAL_CONTACT if role.role is Role.LOCAL_CONTACT else Part.INSTRUMENT_SCIENTIST,
            role.until,
            source_in_words(role.source, givers),
            identities.get(role.account, ""),
        )
        for experiment in experiments:
            if _covers(role, experiment):
                found[experiment.pk].append(said)
    return found


def _covers(role: RoleHeld, experiment: Experiment) -> bool:
    if role.role is Role.INSTRUMENT_SCIENTIST:
        return role.instrument == experiment.instrument_id
    return role.role is Role.LOCAL_CONTACT and role.experiment == experiment.pk


def source_in_words(source: str, givers: dict[int, str]) -> str:
    """What stands in a row's `source`, to complete "you are …, …". Empty for what nobody needs to be told."""
    kind, _, name = source.partition(":")
    if kind == "catalogue":
        return f"says catalogue {name}"
    if kind == "claim":
        return f"says {name}"
    if kind == "person":
        giver = givers.get(int(name)) if name.isdecimal() else None
        return f"granted by {giver or 'an administrator who is gone'}"
    return ""


def givers_of(roles: Iterable[RoleHeld]) -> dict[int, str]:
    """The names of the people who gave `roles`."""
    sources = (role.source.partition(":") for role in roles)
    people = {int(name) for kind, _, name in sources if kind == "person" and name.isdecimal()}
    return dict(User.objects.filter(pk__in=people).values_list("pk", "name")) if people else {}


def _givers(actor: Actor) -> dict[int, str]:
    return givers_of(role for role in actor.held if role.role in (Role.LOCAL_CONTACT, Role.INSTRUMENT_SCIENTIST))


def _identities(actor: Actor) -> dict[int, str]:
    """What their other identities are called."""
    if not actor.linked:
        return {}
    rows = User.objects.filter(pk__in=actor.linked).values_list("pk", "username", "iss")
    return {pk: f"your identity {username} at {urlsplit(iss).hostname or iss}" for pk, username, iss in rows}
