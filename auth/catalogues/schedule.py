"""When a catalogue is read by itself: after its interval, later after failures, by one worker at a time."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from auth.models import CatalogueRun

from .base import CatalogueError
from .configured import Configured, configured
from .runs import GOOD, Busy, run

log = logging.getLogger(__name__)
LONGEST_PAUSE = timedelta(hours=1)
MOST_FAILURES = 10
_told: list[str] = []
"""Problems of the configuration that this process has logged already."""


def tick(*, at: datetime | None = None) -> None:
    """Read one catalogue that is due, if any; every worker calls this every few seconds."""
    if not settings.CATALOGUES:
        return
    try:
        known = configured()
    except CatalogueError as error:
        if error.problems != _told:
            _told[:] = error.problems
            log.error("no catalogue is read: %s", error)
        return
    _told.clear()
    for catalogue in known.values():
        if not catalogue.pushed and due(catalogue, at=at or timezone.now()):
            try:
                row, _ = run(catalogue)
            except Busy:
                continue  # another worker is at it
            log.info("catalogue %s: %s %s %s", row.name, row.mode, row.outcome, row.counts or "")
            return


def due(catalogue: Configured, *, at: datetime) -> bool:
    """Failures are tried again less and less often, at least once in an hour or in its own interval."""
    last = list(
        CatalogueRun.objects.filter(name=catalogue.name).order_by("-began").defer("cursor")[: MOST_FAILURES + 1]
    )
    if not last or last[0].ended is None:
        return True  # never, or by a process that may have died: the lock says
    failures = next((n for n, row in enumerate(last) if row.outcome in GOOD), len(last))
    if not failures:
        return at >= last[0].began + catalogue.every
    pause = min(catalogue.every * 2 ** (failures - 1), max(catalogue.every, LONGEST_PAUSE))
    return bool(at >= last[0].ended + pause)
