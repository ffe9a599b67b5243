"""Acting upon one message: in its turn, in one transaction, and as often as it comes."""

from dataclasses import dataclass
from enum import Enum

from django.db import connection, transaction
from django.utils import timezone

from auth.catalogues import sync
from auth.catalogues.base import CatalogueError
from auth.catalogues.diff import MassRemoval
from auth.models import OfficeProposal

from . import messages, record
from .config import Config
from .messages import ProposalState, Unreadable
from .portrayal import Portrait, portray

LONGEST_WAIT = "1s"
"""For another transaction: whoever reads the whole of another catalogue in may take minutes, and is waited for outside
of a transaction."""


class Outcome(Enum):
    APPLIED = "applied"
    UNCHANGED = "nothing to change"
    OUTDATED = "a newer message came first"
    FOREIGN = "says nothing about a proposal's state"


@dataclass(frozen=True, slots=True)
class Result:
    outcome: Outcome
    proposal: str = ""
    notes: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


def apply(event: str, timestamp: int | None, body: bytes, *, source: str, config: Config) -> Result:
    """Make the portal say what the message says, unless a newer one of the same proposal has been heard.

    Unreadable when it cannot be believed: nothing was changed. Errors of the database pass: it is to be tried again.
    """
    began = timezone.now()
    state = messages.read(event, timestamp, body, now=began)
    if state is None:
        return Result(Outcome.FOREIGN)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LONGEST_WAIT])
            # A worker that was given up for dead may still be at the same message.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{source}/{state.number}"])
        known = OfficeProposal.objects.filter(catalogue=source, number=state.number).first()
        # Of two in one millisecond, the later to arrive: the broker keeps the order in which they were sent.
        if known and (state.at < known.at or known.deleted):
            return Result(Outcome.OUTDATED, known.code)
        portrait = portray(state, config, source=source, since=known.since if known else None)
        before = known.code if known else ""
        _remember(state, portrait, known, source)
        result = _merge(portrait, {portrait.code} | ({before} if before else set()), source)
        if result.outcome is Outcome.APPLIED:
            record.applied(source, began=began, counts=dict(result.counts), notes=result.notes)
    return result


def _remember(state: ProposalState, portrait: Portrait, known: OfficeProposal | None, source: str) -> None:
    others = OfficeProposal.objects.filter(catalogue=source, code=portrait.code, deleted=False)
    if not state.deleted and others.exclude(number=state.number).exists():
        raise Unreadable(f"shortCode {state.code[:60]!r} is another proposal's already")
    row = known or OfficeProposal(catalogue=source, number=state.number)
    row.code, row.at, row.since, row.deleted = portrait.code, state.at, portrait.since, state.deleted
    row.save()


def _merge(portrait: Portrait, codes: set[str], source: str) -> Result:
    try:
        diff = sync.merge(portrait.catalogue, source=source, proposals=codes)
    except (CatalogueError, MassRemoval) as error:
        raise Unreadable(str(error)) from error
    outcome = Outcome.APPLIED if diff else Outcome.UNCHANGED
    return Result(
        outcome,
        portrait.code,
        (*portrait.notes, *diff.notes, *(f"kept {line}" for line in diff.kept)),
        tuple(sorted(diff.counts.items())),
    )
