"""What administrators are shown of the messages that mattered: a run for each that changed something or could not."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from auth.catalogues.runs import KEPT_RUNS, bounded
from auth.models import CatalogueRun

Outcome = CatalogueRun.Outcome


def applied(name: str, *, began: datetime, counts: dict[str, int], notes: Iterable[str]) -> None:
    _keep(name, Outcome.APPLIED, began=began, counts=counts, notes=notes)


def put_aside(name: str, *, because: str) -> None:
    """A message goes to the dead letters: nothing was changed."""
    _keep(name, Outcome.INVALID, began=timezone.now(), problems=[because])


def _keep(
    name: str,
    outcome: CatalogueRun.Outcome,
    *,
    began: datetime,
    counts: dict[str, int] | None = None,
    problems: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> None:
    with transaction.atomic():
        CatalogueRun.objects.create(
            name=name,
            mode=CatalogueRun.Mode.INCREMENTAL,
            began=began,
            ended=timezone.now(),
            outcome=outcome,
            counts=counts or {},
            problems=bounded(list(problems)),
            notes=bounded(list(notes)),
        )
        mine = CatalogueRun.objects.filter(name=name).order_by("-began")
        mine.filter(pk__in=mine.values("pk")[KEPT_RUNS:]).order_by().delete()
