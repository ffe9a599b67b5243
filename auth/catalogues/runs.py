"""Reading one catalogue once: alone, from where the last run ended, and with a row that says what came of it.

Nothing is held in the database while a service is asked, apart from a lock on a connection of its own, which goes with
the process. Whatever goes wrong changes nothing, and is written down.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from auth.access import Actor
from auth.models import CatalogueRun

from .base import CatalogueError, CatalogueUnavailable, Cursor, OutOfScope, Source
from .configured import Configured
from .diff import Diff, MassRemoval
from .known import KnownRows
from .spool import Spool, forget_old_pages
from .sync import take_over
from .wire import Moved

KEPT_RUNS = 200
MOST_NOTES = 200
Mode: TypeAlias = CatalogueRun.Mode
Outcome: TypeAlias = CatalogueRun.Outcome
GOOD = (Outcome.APPLIED, Outcome.UNCHANGED)


class Busy(Exception):
    """Another process reads this catalogue at this moment."""


def run(
    catalogue: Configured, *, full: bool = False, force: bool = False, actor: Actor | None = None
) -> tuple[CatalogueRun, Diff | None]:
    """Read it and apply what differs; the row, and the diff if it came to one. Busy when somebody else is at it.

    With neither `full` nor `force`, only what is new is read, as long as the source can tell and the last whole read
    is not too long ago.
    """
    with alone(catalogue.name):
        _bury_the_dead(catalogue.name)
        cursor = {} if full or force else cursor_of(catalogue)
        row = CatalogueRun.objects.create(name=catalogue.name, mode=Mode.INCREMENTAL if cursor else Mode.FULL)
        try:
            return row, _taken_over(catalogue, row, cursor, force=force, actor=actor)
        except MassRemoval as error:
            _end(row, Outcome.REFUSED, problems=[str(error)])
        except CatalogueError as error:
            _forget(catalogue)
            _end(row, Outcome.INVALID, problems=error.problems)
        except CatalogueUnavailable as error:
            if isinstance(error, Moved):
                _forget(catalogue)
            _end(row, Outcome.UNAVAILABLE, problems=[str(error)])
        except BaseException as error:
            with suppress(Exception):  # the database itself may be what failed
                _end(row, Outcome.FAILED, problems=[f"{type(error).__name__}; the log of {row.began:%H:%M} says more"])
            raise
    return row, None


def rehearse(catalogue: Configured, *, full: bool = False, force: bool = False) -> tuple[Diff, list[str]]:
    """What a run would change, and what it would leave out. Errors are raised as they come; no row is written."""
    source = catalogue.source()
    with alone(catalogue.name):
        cursor = {} if full or force else cursor_of(catalogue)
        diff, _, _ = _read(source, cursor, force=force, dry_run=True)
    return diff, [*source.notes, *diff.notes]


def _taken_over(catalogue: Configured, row: CatalogueRun, cursor: Cursor, *, force: bool, actor: Actor | None) -> Diff:
    source = catalogue.source()

    def finish(diff: Diff, mode: Mode, reached: Cursor) -> None:
        row.mode, row.counts, row.cursor = mode, diff.counts, reached
        notes = [*source.notes, *diff.notes, *(f"kept {line}" for line in diff.kept)]
        _end(row, Outcome.APPLIED if diff else Outcome.UNCHANGED, notes=notes)

    diff, _, _ = _read(source, cursor, force=force, actor=actor, finish=finish)
    return diff


def _read(
    source: Source,
    cursor: Cursor,
    *,
    force: bool = False,
    dry_run: bool = False,
    actor: Actor | None = None,
    finish: Callable[[Diff, Mode, Cursor], None] = lambda diff, mode, cursor: None,
) -> tuple[Diff, Mode, Cursor]:
    """News if there can be any, else all of it; `finish` is called within the transaction that applies it."""
    if cursor and (news := source.news(cursor, KnownRows(source.name))):

        def after_news(diff: Diff) -> None:
            finish(diff, Mode.INCREMENTAL, news.cursor)

        with suppress(OutOfScope):
            if not (news.proposals or news.whole_roles):
                with transaction.atomic():
                    after_news(nothing := Diff())
                return nothing, Mode.INCREMENTAL, news.cursor
            diff = take_over(
                news.catalogue,
                source=source.name,
                proposals=news.proposals,
                whole_roles=news.whole_roles,
                actor=actor,
                dry_run=dry_run,
                then=after_news,
            )
            return diff, Mode.INCREMENTAL, news.cursor

    catalogue = source.read()
    diff = take_over(
        catalogue,
        source=source.name,
        actor=actor,
        dry_run=dry_run,
        force=force,
        then=lambda diff: finish(diff, Mode.FULL, source.cursor),
    )
    return diff, Mode.FULL, source.cursor


def cursor_of(catalogue: Configured, *, at: datetime | None = None) -> Cursor:
    """Where news go on; empty when a whole read is due, or when none has succeeded yet."""
    good = CatalogueRun.objects.filter(name=catalogue.name, outcome__in=GOOD).order_by("-began")
    whole = good.filter(mode=Mode.FULL).only("began").first()
    if whole is None or whole.began + catalogue.full <= (at or timezone.now()):
        return {}
    last = good.only("cursor").first()
    return dict(last.cursor) if last else {}


@contextmanager
def alone(name: str) -> Iterator[None]:
    """While nobody else, in any process, is at this catalogue; else Busy."""
    with psycopg.connect(settings.LISTEN_URL, autocommit=True) as connection:
        asked = connection.execute(
            "SELECT pg_try_advisory_lock(hashtext('visa_auth_catalogue_run'), hashtext(%s))", [name]
        )
        if not (asked.fetchone() or (False,))[0]:
            raise Busy(f"{name} is being read by another process at this moment")
        try:
            yield
        finally:
            with suppress(psycopg.Error):  # at the latest it goes with the connection, but that takes a moment
                connection.execute(
                    "SELECT pg_advisory_unlock(hashtext('visa_auth_catalogue_run'), hashtext(%s))", [name]
                )


def _bury_the_dead(name: str) -> None:
    """Whoever holds the lock knows that a run that seems to be going on is not."""
    CatalogueRun.objects.filter(name=name, outcome=Outcome.RUNNING).update(
        outcome=Outcome.FAILED, ended=timezone.now(), problems=["the process that read it ended in the middle"]
    )


def _end(row: CatalogueRun, outcome: Outcome, **said: Any) -> None:
    row.outcome, row.ended = outcome, timezone.now()
    if outcome not in GOOD:  # what was about to be written when it failed was not
        row.counts, row.cursor = {}, {}
    row.problems, row.notes = bounded(said.get("problems", [])), bounded(said.get("notes", []))
    with transaction.atomic():
        row.save()
        forget_old_pages()
        mine = CatalogueRun.objects.filter(name=row.name)
        if outcome in GOOD:
            # A cursor of many proposals is large, and only the last one leads anywhere.
            mine.exclude(pk=row.pk).exclude(cursor={}).update(cursor={})
        mine.filter(pk__in=mine.order_by("-began").values("pk")[KEPT_RUNS:]).exclude(
            pk__in=mine.filter(outcome__in=GOOD, mode=Mode.FULL).order_by("-began").values("pk")[:1]
        ).delete()


def bounded(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_NOTES
    return [*lines[:MOST_NOTES], *([f"… and {more} more"] if more > 0 else [])]


def _forget(catalogue: Configured) -> None:
    """What was read is wrong: the next run begins anew."""
    Spool(catalogue.name).forget()
