"""Somebody's rights have changed: whoever holds something open because of them looks again, in the same transaction.

This package knows who may what, not what is running; `instances` listens. Live connections and pages hear of it on the
bus, on commit. What is sent names whose rights to look at, never what they are now: the rows say that.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.dispatch import Signal

from auth import bus
from auth.models import User

changed = Signal()
"""Receivers get `users` and `proposals`, sets of ids: accounts whose roles or parts, and proposals whose flags or
dates, are not what they were. An exception of theirs undoes the caller's transaction."""

Id = TypeVar("Id")
AT_ONCE = 500
"""Ids in one message of the bus, which takes 8,000 bytes."""


def announce(*, users: Iterable[int] = (), proposals: Iterable[int] = (), because: str) -> None:
    """Call it within the transaction that changed the rows, after they were written and before the audit trail is.

    `because` ends up before people's eyes: "your part in HC-1 has ended".
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("rights change inside a transaction")
    people, subjects = with_their_other_accounts(users), frozenset(proposals)
    if people or subjects:
        changed.send(sender=None, users=people, proposals=subjects, because=because)
    for some in batched(sorted(people), AT_ONCE):
        bus.announce("rights", users=some)


def with_their_other_accounts(users: Iterable[int]) -> frozenset[int]:
    """What one identity may, the person may through every linked one."""
    named = frozenset(users)
    if not named:
        return named
    persons = User.objects.filter(pk__in=named).values(person=Coalesce("linked_to", "pk"))
    accounts = User.objects.filter(Q(pk__in=persons) | Q(linked_to__in=persons))
    return named | frozenset(accounts.values_list("pk", flat=True))


def batched(ids: list[Id], size: int) -> Iterator[list[Id]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
