"""Experiments that somebody may use, with the folders that each gives and the reason."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from auth.access import Actor
from auth.data import Entitlement, Part, entitlement
from auth.models import Experiment, Participation, Proposal, User


def known_to(actor: Actor, *, at: datetime | None = None) -> QuerySet[Experiment]:
    """Those they take part in, those on their instruments, and open data. Newest first.

    All conditions are on the experiment's own columns: the database looks each row up in small sets and counts tens of
    thousands without a join.
    """
    today = (at or timezone.now()).date()
    open_data = Proposal.objects.filter(released__lte=today, proprietary=False).exclude(doi="")
    return (
        Experiment.objects.filter(
            Q(pk__in=Participation.objects.filter(user__in=actor.accounts).values("experiment"))
            | Q(pk__in=actor.experiments)
            | Q(instrument__in=actor.instruments) & ~Q(proposal__in=Proposal.objects.filter(proprietary=True))
            | Q(proposal__in=open_data)
        )
        .select_related("proposal", "instrument")
        .order_by("-start", "id")
    )


def takes_part(actor: Actor) -> bool:
    """In any experiment, whenever it was, or as scientist of an instrument."""
    return (
        bool(actor.instruments or actor.experiments) or Participation.objects.filter(user__in=actor.accounts).exists()
    )


def my_experiments(*, acting_user: User, search: str = "") -> QuerySet[Experiment]:
    """`known_to` the user, narrowed to those where every word of `search` occurs somewhere."""
    found = known_to(acting_user.as_actor())
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
    """For each experiment (with proposal and instrument selected) the folders it gives `actor`. One query."""
    experiments = list(experiments)
    parts: dict[int, set[Part]] = defaultdict(set)
    held = Participation.objects.filter(user__in=actor.accounts, experiment__in=experiments)
    for experiment_id, part in held.values_list("experiment_id", "part"):
        parts[experiment_id].add(Part(part))
    for experiment in experiments:
        if experiment.instrument_id in actor.instruments:
            parts[experiment.pk].add(Part.INSTRUMENT_SCIENTIST)
        if experiment.pk in actor.experiments:
            parts[experiment.pk].add(Part.LOCAL_CONTACT)
    at = at or timezone.now()
    return {e.pk: entitlement(e.facts, parts[e.pk], now=at) for e in experiments}
