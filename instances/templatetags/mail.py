"""Words for mails: moments without a script that would put them into the reader's zone, and whole sentences."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django import template

from instances.services.mail_preferences import moment_of

register = template.Library()
UTC = ZoneInfo("UTC")


@register.filter
def moment(value: datetime | str | None) -> str:
    """`Friday 27 November 2026 at 14:00 UTC`."""
    at = moment_of(value)
    return f"{at.astimezone(UTC):%A %-d %B %Y at %H:%M} UTC" if at else ""


@register.filter
def sentence(value: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    words = value.strip()
    return words[:1].upper() + words[1:] + ("" if words[-1:] in (".", "!", "?", "") else ".")
