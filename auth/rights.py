"""Somebody's rights have changed: whoever holds something open because of them looks again, in the same transaction.

This package knows who may what, not what is running; `instances` listens. What is sent names whose rights to look at,
never what they are now: the rows say that.
"""

from collections.abc import Iterable

from django.db import connection, transaction
from django.dispatch import Signal

changed = Signal()
"""Receivers get `users` and `proposals`, sets of ids: people whose roles or parts, and proposals whose flags or dates,
are not what they were. An exception of theirs undoes the caller's transaction."""


def announce(*, users: Iterable[int] = (), proposals: Iterable[int] = (), because: str) -> None:
    """Call it within the transaction that changed the rows, after they were written.

    `because` ends up before people's eyes: "your part in HC-1 has ended".
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("rights change inside a transaction")
    people, subjects = frozenset(users), frozenset(proposals)
    if people or subjects:
        changed.send(sender=None, users=people, proposals=subjects, because=because)
