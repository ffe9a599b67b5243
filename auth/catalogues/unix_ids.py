"""Which of the Unix ids that a staged catalogue says are heard: usable, nobody else's, and of somebody who is new.

A number that two share would give one the other's files, so neither gets it; nobody's id is ever changed.
"""

from collections import Counter
from collections.abc import Iterable

from django.conf import settings

from auth import unix

from .compare import run


def sift() -> list[str]:
    """Forget the others, in said_person and said_proposal; a note for each that somebody should look at."""
    uids = run("SELECT s.uid, s.sub, u.uid, s.n FROM said_person s LEFT JOIN visa_auth_user u ON u.id = s.id"
               " WHERE s.uid IS NOT NULL ORDER BY s.n")  # fmt: skip
    gids = run("SELECT s.gid, s.code, p.gid, s.code FROM said_proposal s LEFT JOIN visa_auth_proposal p USING (code)"
               " WHERE s.gid IS NOT NULL ORDER BY s.code")  # fmt: skip
    if not (uids or gids):
        return []
    said = Counter(number for number, *_ in (*uids, *gids))
    taken = _taken(said)
    notes, refused = [], []
    for name, rows in (("uid", uids), ("gid", gids)):
        for number, whose, own, key in rows:
            if own == number and said[number] == 1:
                continue
            if because := _wrong(number, own, said, taken):
                notes.append(f"{name} {number} of {whose} is not taken over: {because}")
                refused.append((name, key))
    run(FORGET_UIDS, {"keys": [key for name, key in refused if name == "uid"]})
    run(FORGET_GIDS, {"keys": [key for name, key in refused if name == "gid"]})
    return notes


def _wrong(number: int, own: int | None, said: Counter[int], taken: set[int]) -> str:
    if not all(unix.is_asserted(number, local) for local in (settings.LOCAL_UIDS, settings.LOCAL_GIDS)):
        return "it is the machine's own, or of the portal's own range"
    if said[number] > 1:
        return "somebody else is said to have it too"
    if own is not None:
        return f"it is {own} here, and what somebody has is not changed"
    return "somebody else has it" if number in taken else ""


def _taken(numbers: Iterable[int]) -> set[int]:
    """A uid is also the number of its person's own group, so people and proposals must not meet either."""
    sql = (
        "SELECT uid FROM visa_auth_user WHERE uid = ANY(%(all)s)"
        " UNION ALL SELECT gid FROM visa_auth_proposal WHERE gid = ANY(%(all)s)"
    )
    return {number for (number,) in run(sql, {"all": list(numbers)})}


FORGET_UIDS = "UPDATE said_person SET uid = NULL WHERE n = ANY(%(keys)s::int[])"
FORGET_GIDS = "UPDATE said_proposal SET gid = NULL WHERE code = ANY(%(keys)s::text[])"
