"""`manage.py drift`: what is wanted of every cloud against what it has now. 0: agreement, 1: drift, 2: failure."""

import sys
import textwrap
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.timesince import timesince

from auth.models import User
from instances.errors import InstanceError
from instances.models import Cloud, Instance, Stray
from instances.reconcile import survey
from instances.reconcile.survey import Survey
from instances.services import adopt
from instances.services.clouds import watched

DRIFTS, FAILED = 1, 2
PATIENCE, PAUSE = 30, 0.2
"""Seconds in which a worker that looks at a cloud is done with that, and how often that is asked."""
WIDTH = 110


class Command(BaseCommand):
    help = """Ask every cloud for its list and compare it with what is wanted of it.

Ends with 0 when everything is as it should be, 1 when something is not (what is on its way counts),
2 when a cloud does not answer or the question makes no sense."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cloud", metavar="NAME", help="only this one")
        parser.add_argument("--repair", action="store_true", help="do what a worker does with such a list")
        parser.add_argument("--dry-run", action="store_true", help="with --repair: say what it would do, do nothing")
        parser.add_argument("--adopt", metavar="KEY", help="make a reported orphan a stopped instance of its owner")
        parser.add_argument("--delete", metavar="KEY", help="have a reported orphan deleted")
        parser.add_argument("--as", dest="login", metavar="LOGIN", help="the administrator who adopts or deletes")
        parser.add_argument("--because", default="", metavar="TEXT", help="with --delete: why, for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["adopt"] and options["delete"]:
            bad("Either adopt or delete, not both at once.")
        if options["dry_run"] and not options["repair"]:
            bad("--dry-run goes with --repair. Without either nothing is changed.")
        clouds = watched()
        if options["cloud"]:
            clouds = clouds.filter(name=options["cloud"])
            if not clouds:
                bad(f"There is no cloud {options['cloud']} that is switched on or holds anything.")
        if options["adopt"] or options["delete"]:
            self._decide(options, list(clouds))
            return
        if not clouds:
            self.stdout.write("No cloud is switched on, and none holds anything.")
        found = [self._surveyed(cloud, options["repair"] and not options["dry_run"]) for cloud in clouds]
        for one in found:
            self._print(one, options)
        if any(one.error for one in found):
            sys.exit(FAILED)
        if any(one.drifts for one in found):
            sys.exit(DRIFTS)

    def _surveyed(self, cloud: Cloud, repair: bool) -> Survey:
        if not repair:
            return survey.report(cloud)
        until = time.monotonic() + PATIENCE
        while (found := survey.repair(cloud)) is None:
            if time.monotonic() > until:
                return Survey(cloud, "A worker is looking at it and does not come to an end. Try again.")
            time.sleep(PAUSE)
        return found

    def _decide(self, options: dict[str, Any], clouds: list[Cloud]) -> None:
        user = User.objects.filter(username=options["login"] or "").first()
        if user is None:
            bad("Say who decides: --as LOGIN of an administrator.")
        key = (options["adopt"] or options["delete"]).replace("-", "").lower()
        rows = list(Stray.objects.filter(kind=Stray.Kind.ORPHAN, key=key, cloud__in=clouds).select_related("cloud"))
        if not rows:
            bad(f"No orphan {key} is reported. A worker, or --repair, reports what it finds.")
        if len({row.cloud_id for row in rows}) > 1:
            bad(f"{key} is in several clouds: choose one with --cloud.")
        try:
            if options["adopt"]:
                instance = adopt.adopt(rows[0].pk, acting_user=user)
                self.stdout.write(f"{key} is an instance of {instance.owner.name} now. It is being stopped.")
                return
            for row in rows:
                adopt.delete_stray(row.pk, acting_user=user, because=options["because"])
        except InstanceError as error:
            bad(str(error))
        self.stdout.write(f"{key} is deleted with the next look at {rows[0].cloud}: a worker’s, or --repair.")

    def _print(self, found: Survey, options: dict[str, Any]) -> None:
        for line in text_of(found, repair=options["repair"], dry=options["dry_run"]):
            self.stdout.write(line)


def text_of(found: Survey, *, repair: bool, dry: bool) -> Iterable[str]:
    cloud = found.cloud
    off = "" if cloud.enabled else ", switched off"
    yield f"{cloud.title} ({cloud.name}{off})"
    if found.error:
        yield f"  It does not answer: {found.error} Nothing is known of it now.\n"
        return
    if found.doubt:
        yield f"  ITS LIST IS DOUBTED: {found.doubt} No absence is believed, nothing is changed there."
    yield f"  {found.agreeing} as they should be, {len(found.differing)} not."
    if found.differing:
        now = timezone.now()
        yield from table(
            ("instance", "name", "owner", "wanted", "seen", "since"),
            (
                (
                    one.instance.key,
                    one.instance.name,
                    one.instance.owner.username,
                    one.wanted,
                    one.seen,
                    timesince(one.since, now, depth=1).replace("\xa0", " ") if one.since else "",
                )
                for one in found.differing
            ),
            [f"{one.drift.because} {one.drift.following}" for one in found.differing],
        )
    for title, strays in (("Orphans, which no row knows", found.orphans), ("Copies, one too many", found.copies)):
        if strays:
            yield f"  {title}:"
            yield from table(
                ("instance", "called", "seen", "labels"),
                (
                    (
                        one.id,
                        one.observed.reference or "–",
                        one.observed.phase.value,
                        ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()) if value) or "none",
                    )
                    for one in strays
                ),
            )
    if found.remnants:
        yield "  Remnants, deleted here and still there:"
        yield from table(("instance", "name"), ((row.key, row.name) for row in found.remnants))
    if repair:
        yield from done(found, dry)
    yield ""


def done(found: Survey, dry: bool) -> Iterable[str]:
    yield ("  Would be done:" if dry else "  Done:") if found.actions else "  There is nothing to repair."
    rows = Instance.objects.filter(pk__in=[key for key, _ in found.actions]).only("name")
    names = {row.key: row.name for row in rows}
    for key, sentence in found.actions:
        yield f"    {key}  {names.get(key, 'unknown here')}: {sentence}"


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], notes: list[str] | None = None) -> Iterable[str]:
    """Columns as wide as they need to be; beneath each row its note."""
    cells = [heads, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        yield "    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if notes and number:
            indent = " " * 8
            yield from textwrap.wrap(notes[number - 1], WIDTH, initial_indent=indent, subsequent_indent=indent)


def bad(sentence: str) -> NoReturn:
    raise CommandError(sentence, returncode=FAILED)
