"""Unix ids for people (uid, and a group of the same number) and proposals (gid): each is somebody's for ever.

Ids come from the facility where it says them, and otherwise from a range of this portal's own: VISA_LOCAL_UIDS and
VISA_LOCAL_GIDS. The two never meet, because an id inside the range is never believed from outside. PostgreSQL counts
the portal's own, so a number is never given twice, not even after a row is gone.
"""

from django.conf import settings
from django.db import connection

LOWEST = 1000
"""Below are the machine's own."""
HIGHEST = 2**32 - 3
"""The last but one means "nobody", the last "unchanged"."""


class NoIdLeft(Exception):
    """The portal's own range is used up: an administrator has to widen it."""


def free_uids(count: int) -> list[int]:
    return _next("visa_auth_local_uid", settings.LOCAL_UIDS, count)


def free_gids(count: int) -> list[int]:
    return _next("visa_auth_local_gid", settings.LOCAL_GIDS, count)


def is_asserted(number: int, local: range) -> bool:
    """Whether `number`, said by the facility, may be used: it is a person's or a group's, and not one of ours."""
    return LOWEST <= number <= HIGHEST and number not in local


def _next(sequence: str, local: range, count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [sequence, count])
        found = [local.start + int(row[0]) for row in cursor.fetchall()]
    if found and found[-1] not in local:
        raise NoIdLeft(f"no id is left between {local.start} and {local.stop - 1}")
    return found
