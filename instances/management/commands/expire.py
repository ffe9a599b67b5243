"""`manage.py expire [--dry-run]`: who, what, when and why, of everything that time is about to do."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from instances.models import Instance
from instances.reconcile.expiry import Act, End, idle_since
from instances.reconcile.lifetimes import Judged, judge, rows, sweep
from instances.services.expire import announced, done, moment
from instances.states import State

CHUNK = 500
WORDS = {Act.BEGIN: "begins", Act.WARN: "warn", Act.STOP: "stop", Act.DELETE: "delete"}
COLUMNS = ("who", "instance", "what", "when", "why")
Row = tuple[str, str, str, str, str]


class Command(BaseCommand):
    help = "Warn, stop and delete whatever it is time for, as workers do by themselves; --dry-run only says what."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print it and change nothing")
        parser.add_argument("--within", type=int, default=48, metavar="HOURS", help="also list what comes (default 48)")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        lines = list(self._lines(now, now + timedelta(hours=options["within"])))
        self.stdout.write(table(lines) if lines else "Nothing is due, and nothing ends soon.")
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
            return
        waiting = Instance.objects.exclude(state=State.DELETED)
        waiting.update(review_at=now)
        total = 0
        while waiting.filter(review_at__lte=now).exists():
            total += sweep()
        self.stdout.write(f"{total} done.")

    def _lines(self, now: datetime, until: datetime) -> Iterator[Row]:
        keys = list(Instance.objects.exclude(state=State.DELETED).order_by("pk").values_list("pk", flat=True))
        for at in range(0, len(keys), CHUNK):
            some = rows().filter(pk__in=keys[at : at + CHUNK]).order_by("owner__name", "name", "pk")
            for judged in judge(some, now):
                if line := described(judged, until):
                    yield line


def described(judged: Judged, until: datetime) -> Row | None:
    """A line of the table; None where nothing is due and nothing ends before `until`."""
    found, facts, instance = judged.outlook, judged.facts, judged.instance
    who, name = f"{instance.owner.name} ({instance.owner.username})", instance.name
    if found.due:
        since = idle_since(facts) if found.due.because is End.IDLE else facts.state_since
        why = {
            Act.BEGIN: f"It has become ready; its lifetime ends on {moment(found.due.end)}.",
            Act.WARN: announced(found.due.because, found.due.end, since),
        }.get(found.due.act) or done(found.due.because, found.due.end, since)
        return who, name, WORDS[found.due.act], "now", why
    if found.next and found.next[1] <= until:
        end, at = found.next
        since = idle_since(facts) if end is End.IDLE else facts.state_since
        return who, name, "delete" if end is End.DELETION else "stop", moment(at), announced(end, at, since)
    return None


def table(found: list[Row]) -> str:
    """Columns as wide as what they hold, the last one as it comes."""
    lines = [COLUMNS, *found]
    widths = [max(len(line[n]) for line in lines) for n in range(len(COLUMNS) - 1)]
    return "\n".join("  ".join([*(f"{line[n]:<{w}}" for n, w in enumerate(widths)), line[-1]]) for line in lines)
