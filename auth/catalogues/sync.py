"""Making the portal's beam time rows say what a catalogue says: one transaction, all or nothing.

Accounts are never removed: whoever is gone from the catalogue loses their parts and the roles that it gave. What
something else still refers to is kept and closed. Each catalogue changes and removes only what is its own.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db import connection, transaction

from auth import audit, rights
from auth.access import Actor

from . import unix_ids
from .apply import apply
from .base import Catalogue, Source
from .compare import LINES, compared, run
from .diff import FEW, Diff, MassRemoval
from .staging import staged

BEAM_TIME = ("instrument", "proposal", "experiment", "participation")
LINES_A_ROW = 1000
"""Changes of access that one audit row spells out; the next rows go on."""
BECAUSE = "the facility's catalogue has changed what you may do"


def sync(source: Source, *, dry_run: bool = False, force: bool = False, actor: Actor | None = None) -> Diff:
    """Read `source` and apply what differs. CatalogueError, CatalogueUnavailable and MassRemoval change nothing."""
    return take_over(source.read(), source=source.name, dry_run=dry_run, force=force, actor=actor)


def merge(
    catalogue: Catalogue,
    *,
    source: str,
    proposals: Iterable[str],
    actor: Actor | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Diff:
    """Apply what the catalogue `source` says now about exactly these proposals, completely.

    One that is missing from `catalogue` is gone there. People and instruments are added or refreshed; of proposals
    that are not named, and of roles that are missing, nothing is said. CatalogueError, OutOfScope and MassRemoval
    change nothing.
    """
    return take_over(catalogue, source=source, proposals=proposals, actor=actor, dry_run=dry_run, force=force)


def take_over(
    catalogue: Catalogue,
    *,
    source: str,
    proposals: Iterable[str] | None = None,
    whole_roles: bool = False,
    actor: Actor | None = None,
    dry_run: bool = False,
    force: bool = False,
    then: Callable[[Diff], None] = lambda diff: None,
) -> Diff:
    """`sync` and `merge`: without `proposals`, everything is said. `then` is called in the same transaction.

    With `whole_roles`, roles that are missing are gone, although only some proposals are spoken about.
    """
    origin, whole = f"catalogue:{source}", proposals is None
    with transaction.atomic():
        with connection.cursor() as cursor:  # two at once would both add what is new
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('visa_auth_catalogue'))")
        with staged(catalogue, proposals):
            notes = unix_ids.sift()
            with compared(origin, whole=whole, whole_roles=whole_roles) as diff:
                diff.notes = notes
                if not force:
                    _doubt(diff, origin, whole=whole)
                if diff and not dry_run:
                    people, subjects = _affected(origin)
                    apply(origin)
                    rights.announce(users=people, proposals=subjects, because=BECAUSE)
                    _record(diff, origin, actor=actor, because="forced" if force else "")
        then(diff)
    return diff


def _doubt(diff: Diff, origin: str, *, whole: bool) -> None:
    """MassRemoval for what looks like a broken answer rather than like news."""
    if whole:
        diff.check((*BEAM_TIME, "role"))
        return
    if "participation" in diff.empty:
        asked, had = run(TEAMS, {"origin": origin})[0]
        if asked >= FEW and asked == had:
            raise MassRemoval(
                f"nobody takes part in any of {asked} proposals any more, and in each somebody did."
                " If that is right, say so with --force."
            )
    diff.check(("role",))


TEAMS = """
SELECT count(*), count(*) FILTER (WHERE EXISTS (
  SELECT FROM visa_auth_participation a JOIN visa_auth_experiment e ON e.id = a.experiment_id
  JOIN visa_auth_proposal p ON p.id = e.proposal_id WHERE p.code = s.code AND a.source = %(origin)s))
FROM said_scope s
"""


def _affected(origin: str) -> tuple[set[int], set[int]]:
    """Ids of the people who lose something, and of the proposals whose data opens, closes or moves."""
    people, subjects = ({pk for (pk,) in run(sql, {"origin": origin})} for sql in (LOSERS, MOVED))
    return people, subjects


LOSERS = """
SELECT d.user_id FROM diff_participation d WHERE d.verb = 'remove' AND NOT EXISTS (
  SELECT FROM visa_auth_participation p WHERE p.user_id = d.user_id AND p.experiment_id = d.experiment_id
    AND p.part = d.part AND p.source <> %(origin)s)
UNION SELECT user_id FROM diff_role WHERE verb <> 'add'
"""
MOVED = """
SELECT id FROM diff_proposal WHERE verb = 'change' AND rights
UNION SELECT proposal_id FROM diff_experiment WHERE verb = 'change' AND rights
UNION SELECT p.id FROM diff_experiment d JOIN visa_auth_proposal p ON p.code = d.proposal
  WHERE d.verb = 'change' AND d.rights
UNION SELECT e.proposal_id FROM visa_auth_experiment e JOIN diff_instrument d ON d.id = e.instrument_id
  WHERE d.verb = 'change' AND d.rights
"""


def _record(diff: Diff, origin: str, *, actor: Actor | None, because: str) -> None:
    """Who may see what, and what is open, is spelt out, over as many rows as it needs; of the rest the numbers."""
    total = sum(diff.counts.get(f"{kind}.{verb}", 0) for kind in ("participation", "role") for verb in VERBS)
    total += run("SELECT count(*) FROM diff_proposal WHERE verb = 'change' AND rights")[0][0]
    access: list[str] = []
    row, rows = 1, max(1, -(-total // LINES_A_ROW))

    def write() -> None:
        detail: dict[str, Any] = {"access": access}
        if row == 1:
            detail |= {"counts": diff.counts, "kept": diff.kept}
        if rows > 1:
            detail |= {"row": row, "rows": rows}
        audit.record("catalogue.sync", origin, actor=actor, because=because, detail=detail)

    for line in _access():
        if len(access) == LINES_A_ROW:
            write()
            row, access = row + 1, []
        access.append(line)
    write()


VERBS = ("add", "change", "remove")
RELEASES = "SELECT format('change proposal %s: %s', code, what) FROM diff_proposal WHERE verb = 'change' AND rights"


def _access() -> Iterator[str]:
    """As they come from the database: a first load has hundreds of thousands."""
    for sql in (f"{RELEASES} ORDER BY code", LINES["participation"], LINES["role"]):
        with connection.chunked_cursor() as cursor:
            cursor.execute(sql)
            while found := cursor.fetchmany(LINES_A_ROW):
                yield from (line for (line,) in found)
