"""Recording and verifying the audit trail."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from auth.access import Actor

SYSTEM = "system"


def record(
    action: str, target: str, *, actor: Actor | None, because: str = "", detail: dict[str, Any] | None = None
) -> None:
    """Add a row, within the caller's transaction: what is rolled back was not done.

    `actor` None means the portal itself. Call it last: from here to the commit other writers of the trail wait.
    """
    record_many(action, [target], actor=actor, because=because, detail=detail)


def record_many(
    action: str,
    targets: Sequence[str],
    *,
    actor: Actor | None,
    because: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """The same of several targets: a row for each, in one statement."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(f"{action} is recorded outside a transaction")
    with connection.cursor() as cursor:
        # Foreign keys are checked now, not at the commit: then nothing is waited for any more while the trail is held.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "INSERT INTO visa_auth_auditevent (at, actor_id, actor_name, action, target, because, detail)"
            " SELECT clock_timestamp(), %s, %s, %s, target, %s, %s FROM unnest(%s::text[]) AS target",
            [
                actor.user_id if actor else None,
                actor.name if actor else SYSTEM,
                action,
                because,
                json.dumps(detail or {}),
                list(targets),
            ],
        )


def first_broken_link() -> int | None:
    """The `seq` of the first row that was altered, removed or slipped in; None when the chain holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT visa_auth_audit_broken()")
        row: tuple[int | None] = cursor.fetchone()
    return row[0]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that were verified one by one: the `last` of them, and the first that does not fit, if any."""

    count: int
    last: int
    at: datetime | None
    digest: bytes
    broken: int | None


def verify(*, after: int, limit: int) -> Stretch:
    """Verify the `limit` rows that follow row `after` (0: from the beginning), which is believed itself.

    `last`, `at` and `digest` are those of the last row before the first broken one. What was cut off the end leaves no
    trace within: a digest that was noted earlier shows it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_VERIFY, [after, after, limit + (after > 0), after])
        count, end, broken = cursor.fetchone()
        bound = broken - 1 if broken is not None else after if end is None else end
        cursor.execute(
            "SELECT seq, at, digest FROM visa_auth_auditevent WHERE seq <= %s ORDER BY seq DESC LIMIT 1", [bound]
        )
        row = cursor.fetchone()
    last, at, digest = row or (0, None, b"")
    return Stretch(count, last, at, bytes(digest), broken)


# The first row of a stretch only lends its digest and number to the next; a stretch never begins in the air.
_VERIFY = """
    SELECT count(*), max(seq), min(seq) FILTER (WHERE broken) FROM (
      SELECT seq, digest IS DISTINCT FROM visa_auth_audit_digest(row)
        OR previous IS DISTINCT FROM coalesce(lag(digest) OVER w, CASE WHEN %s = 0 THEN ''::bytea END)
        OR seq IS DISTINCT FROM coalesce(lag(seq) OVER w, 0) + 1 AS broken
      FROM (SELECT e AS row, seq, digest, previous FROM visa_auth_auditevent e WHERE seq >= %s ORDER BY seq LIMIT %s) s
      WINDOW w AS (ORDER BY seq)
    ) links WHERE seq > %s
"""
