"""What people want to be told by mail, and when: at once, with a daily digest, or not at all."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.utils.dateparse import parse_datetime

from auth.models import User
from instances.models.mail import Kind

KEPT = "mail"
MARGIN = timedelta(hours=12)
"""A warning waits for a digest only if that comes this long before what it warns of."""


class Timing(StrEnum):
    NOW = "now"
    DAILY = "daily"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Choice:
    """`offered`: what can be chosen; the first is what holds for whoever has chosen nothing."""

    kind: Kind
    offered: tuple[Timing, ...]


ALL = (Timing.NOW, Timing.DAILY, Timing.NEVER)
CHOICES = {
    choice.kind: choice
    for choice in (
        Choice(Kind.CREATED, ALL),
        Choice(Kind.STOPPED, ALL),
        Choice(Kind.FAILED, ALL),
        Choice(Kind.DELETED, ALL),
        Choice(Kind.EXPIRY_WARNING, ALL),
        Choice(Kind.IDLE_WARNING, ALL),
        Choice(Kind.DELETION_WARNING, (Timing.NOW, Timing.DAILY)),
        Choice(Kind.EXTENSION_DECIDED, ALL),
        Choice(Kind.SHARED, ALL),
        Choice(Kind.EXTENSION_ASKED, ALL),
        Choice(Kind.ALERT, (Timing.NOW, Timing.DAILY)),
    )
}


def chosen(kind: Kind, person: User) -> Timing:
    """What they chose, where that is offered (still)."""
    offered = CHOICES[kind].offered
    stored = person.preferences.get(KEPT, {}).get(kind.value)
    return next((timing for timing in offered if timing == stored), offered[0])


def timing_of(kind: Kind, person: User, facts: dict[str, Any], now: datetime) -> Timing:
    """When this very mail goes: what tells of something to come waits for no digest that would come too late."""
    if kind not in CHOICES:
        return Timing.NOW
    timing = chosen(kind, person)
    at = facts.get("at")
    moment = parse_datetime(at) if isinstance(at, str) else at
    if timing is Timing.DAILY and moment and next_digest(now) + MARGIN > moment:
        return Timing.NOW
    return timing


def next_digest(now: datetime) -> datetime:
    """The next full hour VISA_DIGEST_HOUR, in UTC."""
    today = now.replace(hour=settings.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
