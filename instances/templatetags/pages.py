"""What the pages need beside Django's own tags: icons, amounts with units, words for states."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django import template
from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from auth.data import DataGrant
from instances.agents import in_words
from instances.services.grants import target_of
from instances.services.lifetimes import length
from instances.services.queue import ordinal as words_for

register = template.Library()
ICONS = settings.NODE / "bootstrap-icons/icons"


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """A bootstrap-icons drawing within the page: no icon font to load. Decorative: say in words what it means."""
    return format_html('<span class="icon {}" aria-hidden="true">{}</span>', css, _drawing(name))


@cache
def _drawing(name: str) -> SafeString:
    path = ICONS / f"{name}.svg"
    if not re.fullmatch(r"[a-z0-9-]+", name) or not path.exists():
        path = ICONS / "box.svg"
    return mark_safe(path.read_text() if path.exists() else "")  # noqa: S308  (a file of the package)


@register.simple_tag
def when(at: datetime | str | None, style: str = "relative") -> SafeString:
    """A moment that times.js words in the reader's zone: `relative`, `date`, `datetime` or `clock`."""
    moment = parse_datetime(at) if isinstance(at, str) else at
    if moment is None:
        return mark_safe("")
    words = _relative(moment) if style == "relative" else f"{moment:%d %b %Y, %H:%M} UTC"
    if style == "date":
        words = f"{moment:%d %b %Y}"
    return format_html(
        '<time datetime="{}" data-when="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        style,
        f"{moment:%d %b %Y, %H:%M}",
        words,
    )


def _relative(at: datetime) -> str:
    seconds = (timezone.now() - at).total_seconds()
    ago = seconds >= 0
    amount = abs(seconds)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if amount >= size:
            number = int(amount // size)
            text = f"{number} {unit}{'' if number == 1 else 's'}"
            return f"{text} ago" if ago else f"in {text}"
    return "just now" if ago else "in a moment"


@register.filter
def elapsed(value: timedelta | None) -> str:
    """`4.2 s`, `1 min 12 s`, `2 h 5 min`."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@register.filter
def amount(value: float) -> str:
    """A number without a useless `.0`."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value % 1 else f"{int(value)}"


@register.filter
def ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`."""
    return words_for(number)


@register.filter
def leaf(path: str) -> str:
    """The folder's own name: the last part of a path."""
    return path.rstrip("/").rsplit("/", 1)[-1]


@register.filter
def inside(grant: DataGrant) -> str:
    """Where an instance sees it."""
    return target_of(grant)


@register.filter
def folder(path: str) -> SafeString:
    """What lies above it, breakable after each slash."""
    above = path.rstrip("/").rpartition("/")[0]
    return format_html_join(mark_safe("<wbr>"), "{}", ((part + "/",) for part in above.split("/")))


@register.filter
def of(values: Mapping[Any, Any], key: Any) -> Any:
    """What a mapping holds for `key`; nothing where it holds nothing."""
    return values.get(key, "")


@register.filter
def hours(value: int) -> str:
    """`14 days`, `36 hours`."""
    return length(value)


@register.filter
def browser(agent: str) -> str:
    """`Firefox 140 on Linux`."""
    return in_words(agent)


@register.filter
def asked_tone(state: str) -> str:
    """The colour of a request for more time."""
    return {"accepted": "good", "refused": "bad", "pending": "busy"}.get(state, "off")


TONES = {"ready": "good", "failed": "bad", "unknown": "warn", "stopped": "off", "deleted": "off"}


@register.filter
def tone(state: str) -> str:
    """The colour of a state: good, bad, warn, off, or busy while something is under way."""
    return TONES.get(state, "busy")
