"""Recording and verifying the audit trail."""

import json
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
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(f"{action} is recorded outside a transaction")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO visa_auth_auditevent (at, actor_id, actor_name, action, target, because, detail)"
            " VALUES (clock_timestamp(), %s, %s, %s, %s, %s, %s)",
            [
                actor.user_id if actor else None,
                actor.name if actor else SYSTEM,
                action,
                target,
                because,
                json.dumps(detail or {}),
            ],
        )


def first_broken_link() -> int | None:
    """The `seq` of the first row that was altered, removed or slipped in; None when the chain holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT visa_auth_audit_broken()")
        row: tuple[int | None] = cursor.fetchone()
    return row[0]
