"""What the portal does by itself as time passes: begin a lifetime, warn, stop, delete. Within the caller's transaction,
with the instance's row locked.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from auth import audit
from instances.models import Instance

from . import delete as deleting
from . import mail
from . import stop as stopping
from .transitions import tell, told

LIFETIME, IDLE, DELETION = "lifetime", "idle", "deletion"
"""The ends of reconcile/expiry.py, under which the row keeps its warnings."""
MAILS = {
    LIFETIME: mail.Kind.EXPIRY_WARNING,
    IDLE: mail.Kind.IDLE_WARNING,
    DELETION: mail.Kind.DELETION_WARNING,
}


def begin(instance: Instance, until: datetime) -> None:
    _set(instance, expires=until)
    tell(instance)
    detail = {"until": until.isoformat()}
    audit.record("instance.begin", f"instance:{instance.pk}", actor=None, because="Its lifetime begins.", detail=detail)


def warn(instance: Instance, end: str, stored: dict[str, Any], *, end_at: datetime, since: datetime) -> None:
    """By mail, in its timeline, and on every page that shows it, the desktop among them."""
    _set(instance, warnings=instance.warnings | {str(end): stored})
    message = announced(end, end_at, since)
    facts: dict[str, Any] = {"at": end_at.isoformat()}
    if end == IDLE:
        facts["since"] = since.isoformat()
    if end == DELETION:
        facts["reason"] = f"It has been stopped since {day(since)}."
    key = f"{end}:{instance.pk}:{stored['of']}:{'last' if stored['last'] else 'first'}"
    mail.notify(instance.owner, MAILS[str(end)], key=key, instance=instance, **facts)
    told(instance, message)
    detail = {"end": str(end), **stored}
    audit.record("instance.warn", f"instance:{instance.pk}", actor=None, because=message, detail=detail)


def forget(instance: Instance, ends: Iterable[str]) -> None:
    """Warnings that hold no longer are not shown any longer."""
    gone = {str(end) for end in ends}
    _set(instance, warnings={end: given for end, given in instance.warnings.items() if end not in gone})
    tell(instance)


def stop(instance: Instance, because: str) -> None:
    stopping.end(instance, actor=None, reason=because, action="instance.expire", warnings={}, keep_until=None)


def delete(instance: Instance, because: str) -> None:
    deleting.remove(instance, actor=None, reason=because, action="instance.expire", warnings={})


def announced(end: str, at: datetime, since: datetime) -> str:
    """What is going to happen, as its owner reads it."""
    if end == LIFETIME:
        return f"Its lifetime ends on {moment(at)}; then it is stopped. Home and data are kept."
    if end == IDLE:
        return f"Nothing has happened in it since {moment(since)}. It is stopped on {moment(at)} if that stays so."
    return f"It has been stopped since {day(since)} and is deleted on {moment(at)}. Home and data are kept."


def done(end: str, at: datetime, since: datetime) -> str:
    """Why it was stopped or deleted, as its owner reads it."""
    if end == LIFETIME:
        return f"Its lifetime ended on {moment(at)}. Your home and the data are kept."
    if end == IDLE:
        return f"Nothing had happened in it since {moment(since)}. Your home and the data are kept."
    return f"It had been stopped since {day(since)}. Your home and the data are kept."


def moment(at: datetime) -> str:
    return f"{at:%-d %B at %H:%M} UTC"


def day(at: datetime) -> str:
    return f"{at:%-d %B %Y}"


def _set(instance: Instance, **fields: Any) -> None:
    Instance.objects.filter(pk=instance.pk).update(**fields)
    for name, value in fields.items():
        setattr(instance, name, value)
