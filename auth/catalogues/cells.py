"""Text from a file to a value, or a ValueError whose text completes "people.csv:7: email …". Pure."""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from string import Formatter
from typing import Any

from auth.access import Role
from auth.data import Part

Cell = Callable[[str], Any]
_ROLES = {role.value: role for role in Role if role is not Role.LOCAL_CONTACT}
_PARTS = {part.value: part for part in Part}


def code(text: str) -> str:
    """It becomes part of a path on the data storage, so nothing in it may mean anything there."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", text):
        raise ValueError("must be lower-case letters, digits and hyphens, at most 32")
    return text


def text(longest: int, *, lines: bool = False) -> Cell:
    def parse(value: str) -> str:
        if len(value) > longest:
            raise ValueError(f"has {len(value)} characters, of at most {longest}")
        if not value.isprintable() and any(
            unicodedata.category(c) in ("Cc", "Cs") and not (lines and c in "\r\n\t") for c in value
        ):
            raise ValueError("holds control characters")
        return value

    return parse


def issuer(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", value) or len(value) > 255:
        raise ValueError("must be the http(s) address of an identity provider")
    return value


def username(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,23}", value):
        raise ValueError("must be a login name: a letter, then letters, digits and hyphens, at most 24")
    return value


def email(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]{1,64}@[^@\s<>]{1,189}", value):
        raise ValueError("is no e-mail address")
    return value


def yes_no(value: str) -> bool:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise ValueError("must be yes or no")
    return value.lower() in ("yes", "true")


def day(value: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        raise ValueError("must be a date such as 2026-11-20")
    return date.fromisoformat(value)


def moment(value: str) -> datetime:
    """With its zone: a beam time that is an hour off opens data to the wrong people."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError("must be a time with its zone, such as 2026-11-20T08:00:00+01:00")
    return found.astimezone(UTC)


def doi(value: str) -> str:
    if not re.fullmatch(r"10\.\d{4,9}/[^\s]{1,100}", value):
        raise ValueError("must be a bare DOI such as 10.15151/ESRF-ES-1234")
    return value


def unix_id(value: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", value):
        raise ValueError("must be a Unix id, a whole number")
    return int(value)


def part(value: str) -> Part:
    if (found := _PARTS.get(value)) is None:
        raise ValueError(f"must be one of {', '.join(Part)}")
    return found


def role(value: str) -> Role:
    """One at the facility; who is local contact of an experiment takes part in it."""
    if value not in _ROLES:
        raise ValueError(f"must be one of {', '.join(_ROLES)}")
    return _ROLES[value]


def folder(value: str) -> str:
    """A template of a path that stays below the data root."""
    try:
        fields = [found[1:] for found in Formatter().parse(value) if found[1] is not None]
    except ValueError:
        raise ValueError("has a brace without its partner") from None
    known = ("proposal", "instrument", "date", "year")
    if not all(name in known and not spec and not how for name, spec, how in fields):
        raise ValueError("may use {proposal}, {instrument}, {date} and {year}, and nothing else in braces")
    if "{proposal}" not in value.split("/"):
        # Otherwise two proposals could come to share a folder.
        raise ValueError("must have {proposal} as a folder of its own")
    parts = value.split("/")
    if not all(re.fullmatch(r"[A-Za-z0-9_.{}-]+", p) and p.strip(".") for p in parts) or len(value) > 200:
        raise ValueError("must be a relative path of plain names")
    return value
