"""Quotas against what people have: checked before a launch and a start, under one lock, so that none is overshot."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from auth.access import Actor, Role
from auth.models import Experiment, Instrument, Proposal
from instances.errors import Invalid
from instances.models import Flavour, Instance, Quota
from instances.quotas import Amount, Bound, Scope, most_generous, refusal
from instances.states import Desired, Phase, State

ACTIVE = Q(desired=Desired.RUNNING) | Q(phase__in=[Phase.STARTING, Phase.RUNNING])
"""What takes cores, memory and GPUs: it is to run, perhaps when its turn comes, or its cloud has still been seen to run
it."""
PERSON = Coalesce("owner__linked_to", "owner")
"""All accounts of a person count together."""


def lock() -> None:
    """From here to the commit nobody else reserves anything: neither of a quota nor of a cloud.

    Take it before rows of instances are locked and before the audit trail is written.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('visa.quotas'))")


def check(
    actor: Actor,
    flavour: Flavour,
    experiments: Sequence[Experiment],
    *,
    again: Instance | None = None,
    taken: Instance | None = None,
) -> None:
    """Invalid, with the limit, its use and who can change it, when one more does not fit. Hold `lock`.

    `again`: it exists already, and is to run again. `taken`: it exists already, and `actor` is to be its owner.
    """
    bounds = bounds_of(actor, experiments, but=again or taken)
    if sentence := refusal(bounds, wanted_by(flavour, new=again is None), who=who_can_change()):
        raise Invalid({"flavour": sentence})


def wanted_by(flavour: Flavour, *, new: bool = True) -> Amount:
    gpus = {flavour.gpu_model: flavour.gpu_count} if flavour.gpu_count else {}
    return Amount(int(new), flavour.cores, flavour.memory_mb, gpus)


def bounds_of(actor: Actor, experiments: Iterable[Experiment] = (), *, but: Instance | None = None) -> list[Bound]:
    """The quotas that hold for `actor` with these experiments, and what counts against each. Five queries at most."""
    proposals = {e.proposal_id: e.proposal for e in experiments}
    instruments = {e.instrument_id: e.instrument for e in experiments}
    rows = list(_rows(actor, proposals, instruments))
    there = Instance.objects.exclude(state=State.DELETED)
    if but:
        there = there.exclude(pk=but.pk)
    bounds = []
    own, whose = _of_person(rows)
    if own:
        use = used(there.filter(owner__in=actor.accounts))
        bounds.append(Bound(Scope.PERSON, f"Your quota{whose}", most_generous(row.limits for row in own), use))
    bounds += _of_each(Scope.PROPOSAL, "proposal_id", "experiments__proposal_id", proposals, rows, there)
    bounds += _of_each(Scope.INSTRUMENT, "instrument_id", "experiments__instrument_id", instruments, rows, there)
    for row in rows:
        if row.scope == Scope.GLOBAL:
            bounds.append(Bound(Scope.GLOBAL, "The quota of everybody together", row.limits, used(there)))
    return [bound for bound in bounds if bound.limits]


def who_can_change() -> str:
    """The last sentence of every refusal."""
    helpdesk = settings.FACILITY["helpdesk"]
    asking = f" The helpdesk ({helpdesk}) passes your request on." if helpdesk else ""
    return f"the administrators of this portal can change it.{asking}"


def used(rows: QuerySet[Instance]) -> Amount:
    return sum(used_by(rows, Value(0)).values(), Amount())


def used_by(rows: QuerySet[Instance], subject: Combinable) -> dict[int, Amount]:
    """By `subject`, an expression over instances: what exists of theirs, and what of that takes hardware. One query."""
    size = ("flavour__cores", "flavour__memory_mb", "flavour__gpu_model", "flavour__gpu_count")
    found = (
        rows.order_by()
        .values("flavour_id", *size, subject=subject)
        .annotate(there=Count("pk", distinct=True), active=Count("pk", distinct=True, filter=ACTIVE))
    )
    total: dict[int, Amount] = defaultdict(Amount)
    for row in found:
        cores, memory, model, count = (row[name] for name in size)
        active = row["active"]
        gpus = {model: count * active} if count else {}
        total[row["subject"]] += Amount(row["there"], cores * active, memory * active, gpus)
    return total


def _rows(actor: Actor, proposals: Iterable[int], instruments: Iterable[int]) -> Iterable[Quota]:
    return Quota.objects.filter(
        Q(scope=Scope.GLOBAL)
        | Q(scope=Scope.PERSON) & (Q(user=None) | Q(user__in=actor.accounts))
        | Q(scope=Scope.ROLE, role__in=actor.roles)
        | Q(scope=Scope.PROPOSAL) & (Q(proposal=None) | Q(proposal__in=proposals))
        | Q(scope=Scope.INSTRUMENT) & (Q(instrument=None) | Q(instrument__in=instruments))
    )


def _of_person(rows: list[Quota]) -> tuple[list[Quota], str]:
    """Their own beats that of their roles, which beats everybody's; and the words that say so."""
    if own := [row for row in rows if row.scope == Scope.PERSON and row.user_id]:
        return own, ""
    if by_role := [row for row in rows if row.scope == Scope.ROLE]:
        roles = " and ".join(sorted(Role(row.role).label for row in by_role))
        return by_role, f" as {roles if roles.startswith('IT') else roles.lower()}"
    return [row for row in rows if row.scope == Scope.PERSON], ""


def _of_each(
    scope: Scope,
    column: str,
    path: str,
    subjects: dict[int, Proposal] | dict[int, Instrument],
    rows: list[Quota],
    there: QuerySet[Instance],
) -> list[Bound]:
    """Of each proposal or instrument its own quota, or the default for all of them."""
    own = {getattr(row, column): row for row in rows if row.scope == scope}
    limited = {pk: own.get(pk) or own.get(None) for pk in subjects}
    named = [pk for pk, row in limited.items() if row]
    use = used_by(there.filter(**{f"{path}__in": named}), F(path)) if named else {}
    return [
        Bound(scope, f"The quota of {subjects[pk]}", row.limits, use.get(pk, Amount()))
        for pk, row in limited.items()
        if row
    ]
