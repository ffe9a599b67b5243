"""Ending sessions that somebody else than their own browser ends, with everything that was opened from them."""

from collections.abc import Iterable

from django.contrib.sessions.models import Session

from auth import bus
from auth.digests import session_digest
from auth.models import Login


def end(logins: Iterable[Login], *, reason: str) -> int:
    """End the sessions that began with `logins`, within the caller's transaction; returns how many.

    Live connections close when it commits. Tickets need no row of their own to change: the broker redeems none whose
    session is gone. `reason` is shown to whoever is cut off.
    """
    keys = {login.session_id for login in logins}
    Session.objects.filter(session_key__in=keys).delete()
    for key in keys:
        bus.announce("close", session=session_digest(key), reason=reason)
    return len(keys)
