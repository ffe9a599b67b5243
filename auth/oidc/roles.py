"""Roles that entitlements give: after each sign-in exactly what the claims say now, and for a limited time."""

import json
import logging
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from auth import audit, rights
from auth.access import Role
from auth.models import Instrument, RoleGrant, User

from . import mapping
from .claims import Identity

log = logging.getLogger(__name__)
Change: TypeAlias = tuple[str, RoleGrant, str]
"""What was done, to which grant, and why."""


def apply(used: User, identity: Identity) -> list[str]:
    """Make the grants of this identity's row say what `identity` says, in the caller's transaction; the roles it gives.

    Only grants whose source is this issuer's claims are touched. A mapping that cannot be read changes nothing.
    """
    try:
        rules = read(settings.ROLE_MAPPING)
    except mapping.Invalid as error:
        log.error("VISA_ROLE_MAPPING cannot be used, so roles stay as they are: %s", error)
        return []
    now = timezone.now()
    source = source_of(identity.iss)
    wanted = _known(mapping.given(rules, identity.entitlements))
    mine = RoleGrant.objects.select_for_update(of=("self",)).filter(user=used, source=source, experiment=None)
    held = {(Role(grant.role), grant.instrument_id): grant for grant in mine}
    given = [_give(used, key, rule, held.get(key), source, now) for key, rule in wanted.items()]
    ended = [_end(grant, now) for key, grant in held.items() if key not in wanted and _in_force(grant, now)]
    if changed := [change for change in (*given, *ended) if change]:
        rights.announce(users={used.pk, used.person.pk}, because="your roles have changed with your groups")
    for change in changed:  # last: from here on other writers of the trail wait
        _record(change)
    return sorted({role.value for role, _ in wanted})


def source_of(iss: str) -> str:
    return f"claim:{urlsplit(iss).netloc}"[:64]


@lru_cache(maxsize=8)
def read(file: str) -> tuple[mapping.Rule, ...]:
    """The configured rules, read once; none without a file. mapping.Invalid when it is wrong."""
    if not file:
        return ()
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise mapping.Invalid([f"{file} cannot be read: {error}."]) from error
    return mapping.rules(document)


def _known(given: dict[tuple[Role, str], mapping.Rule]) -> dict[tuple[Role, int | None], mapping.Rule]:
    """With the rows of instruments for their codes; what names an unknown one gives nothing."""
    codes = {code for _, code in given if code}
    rows = dict(Instrument.objects.filter(code__in=codes).values_list("code", "pk"))
    for code in sorted(codes - rows.keys()):
        log.warning("VISA_ROLE_MAPPING names instrument %s, which no catalogue knows: it gives nothing", code)
    return {(role, rows.get(code)): rule for (role, code), rule in given.items() if not code or code in rows}


def _give(
    user: User, key: tuple[Role, int | None], rule: mapping.Rule, held: RoleGrant | None, source: str, now: datetime
) -> Change | None:
    """None when it only lasts longer."""
    role, instrument = key
    until = now + timedelta(days=rule.days)
    because = f"member of {rule.text}"[:200]
    if held and _in_force(held, now):
        RoleGrant.objects.filter(pk=held.pk).update(until=until, because=because, ended=None)
        return None
    fields: dict[str, object] = {"because": because, "since": now, "until": until, "ended": None}
    grant = held or RoleGrant(user=user, role=role.value, instrument_id=instrument, source=source)
    for name, value in fields.items():
        setattr(grant, name, value)
    grant.save()
    return "role.grant", grant, because


def _end(grant: RoleGrant, now: datetime) -> Change:
    RoleGrant.objects.filter(pk=grant.pk).update(until=now, ended=now)
    return "role.end", grant, "no longer among the groups that the provider names"


def _in_force(grant: RoleGrant, now: datetime) -> bool:
    return grant.since <= now and (grant.until is None or grant.until > now)


def _record(change: Change) -> None:
    action, grant, because = change
    detail = {"role": grant.role, "instrument": grant.instrument_id, "source": grant.source, "grant": grant.pk}
    audit.record(
        action, f"user:{grant.user_id}", actor=None, because=because, detail=detail | {"until": _iso(grant.until)}
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
