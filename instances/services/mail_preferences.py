"""What people want to be told by mail, and when: at once, with a daily digest, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.dateparse import parse_datetime

from auth import audit
from auth.access import Actor
from auth.models import User
from instances.errors import Invalid
from instances.models.mail import Kind
from instances.policy import may_administer

KEPT = "mail"
MARGIN = timedelta(hours=12)
"""A warning waits for a digest only if that comes this long before what it warns of."""


class Timing(StrEnum):
    NOW = "now"
    DAILY = "daily"
    NEVER = "never"

    @property
    def label(self) -> str:
        return {"now": "At once", "daily": "Once a day", "never": "Not at all"}[self.value]


ALL = (Timing.NOW, Timing.DAILY, Timing.NEVER)
NEVER_SILENT = (Timing.NOW, Timing.DAILY)


@dataclass(frozen=True, slots=True)
class Choice:
    """`offered`: what can be chosen; the first is what holds for whoever has chosen nothing."""

    kind: Kind
    title: str
    about: str
    offered: tuple[Timing, ...] = ALL
    for_administrators: bool = False


CHOICES = {
    choice.kind: choice
    for choice in (
        Choice(Kind.CREATED, "Launched", "You launched an instance: what it is, and until when it runs."),
        Choice(Kind.EXPIRY_WARNING, "Lifetime ends", "Two days and one day before an instance is stopped."),
        Choice(Kind.IDLE_WARNING, "Idle", "Before an instance is stopped because nobody works and nothing computes."),
        Choice(Kind.STOPPED, "Stopped", "The portal or somebody else has stopped an instance of yours."),
        Choice(Kind.FAILED, "Failed", "An instance of yours does not run because something went wrong."),
        Choice(
            Kind.DELETION_WARNING,
            "About to be deleted",
            "Before an instance is deleted. This cannot be turned off: you could lose something without a word.",
            NEVER_SILENT,
        ),
        Choice(Kind.DELETED, "Deleted", "The portal or somebody else has deleted an instance of yours."),
        Choice(Kind.EXTENSION_DECIDED, "More time", "Somebody has decided on your request for more time."),
        Choice(Kind.SHARED, "Shared with you", "Somebody has let you into an instance of theirs."),
        Choice(Kind.OFFERED, "Handed over to you", "Somebody wants you to take over an instance of theirs."),
        Choice(
            Kind.ACCESS_ASKED,
            "Asked to be let in",
            "Somebody who looks after your experiment asks to see your screen while you are not there.",
        ),
        Choice(
            Kind.ACCESS_GIVEN,
            "Let in while you were away",
            "The portal let somebody look at your screen, by the facility’s rule. This cannot be turned off.",
            NEVER_SILENT,
        ),
        Choice(
            Kind.EXTENSION_ASKED,
            "Requests for more time",
            "Somebody asks for more time, and an administrator has to decide.",
            for_administrators=True,
        ),
        Choice(
            Kind.ALERT,
            "Trouble",
            "Something of the portal needs an administrator. This cannot be turned off.",
            NEVER_SILENT,
            for_administrators=True,
        ),
    )
}


def choices_for(actor: Actor) -> list[Choice]:
    """Those about mails that they can get."""
    return [c for c in CHOICES.values() if not c.for_administrators or may_administer(actor)]


def chosen(kind: Kind, person: User) -> Timing:
    """What they chose, where that is offered."""
    offered = CHOICES[kind].offered
    stored = person.preferences.get(KEPT, {}).get(kind.value)
    return next((timing for timing in offered if timing == stored), offered[0])


def choose(*, acting_user: User, wanted: Mapping[str, str]) -> bool:
    """Keep what they chose, by kind; a kind that is not mentioned stays as it is. Whether anything changed.

    Invalid names the kinds for which that is not offered.
    """
    actor = acting_user.as_actor()
    asked = {c.kind: wanted[c.kind] for c in choices_for(actor) if c.kind in wanted}
    if wrong := {kind.value: _problem(kind) for kind, timing in asked.items() if timing not in CHOICES[kind].offered}:
        raise Invalid(wrong)
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=acting_user.person.pk)
        changed = {kind.value: timing for kind, timing in asked.items() if timing != chosen(kind, person)}
        if changed:
            person.preferences[KEPT] = person.preferences.get(KEPT, {}) | changed
            person.save(update_fields=["preferences"])
            audit.record("mail.choose", f"user:{person.pk}", actor=actor, detail=changed)
    return bool(changed)


def timing_of(kind: Kind, person: User, facts: dict[str, Any], now: datetime) -> Timing:
    """When this very mail goes: what tells of something to come waits for no digest that would come too late."""
    if kind not in CHOICES:
        return Timing.NOW
    timing = chosen(kind, person)
    at = moment_of(facts.get("at"))
    if timing is Timing.DAILY and at and next_digest(now) + MARGIN > at:
        return Timing.NOW
    return timing


def next_digest(now: datetime) -> datetime:
    """The next full hour VISA_DIGEST_HOUR, in UTC."""
    today = now.replace(hour=settings.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def moment_of(fact: Any) -> datetime | None:
    """A fact that is a moment, as it was given or as it was stored."""
    return parse_datetime(fact) if isinstance(fact, str) else fact


def _problem(kind: Kind) -> str:
    words = [timing.label.lower() for timing in CHOICES[kind].offered]
    return f"Choose {', '.join(words[:-1])} or {words[-1]}."
