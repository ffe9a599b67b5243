"""What a cloud holds in our name and should not: copies, what was deleted here, and what no row knows.

Copies beside the one that counts, and what its owner has had deleted, go by themselves: the rows say that nobody wants
them. What no row knows is reported; only the site's policy or an administrator's hand decides its fate.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from auth import audit
from instances.errors import IllegalTransition, InstanceError, ProviderError, StaleInstance
from instances.models import Cloud, Instance, Stray
from instances.providers.base import Found, Provider
from instances.services import transitions
from instances.services.adopt import adopt_by_policy
from instances.services.wake import wake
from instances.states import State

from .calls import call
from .sift import Sifted

log = logging.getLogger(__name__)
SURE_AFTER = timedelta(seconds=5)
"""A copy or a remnant is seen for this long before it goes: what is just being made settles first."""
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Sorted:
    """What a list has beside what it should."""

    orphans: Sequence[Found] = ()
    copies: Sequence[Found] = ()
    remnants: Sequence[Instance] = ()
    """Deleted here, and listed again."""


def sorted_out(cloud: Cloud, sifted: Sifted) -> Sorted:
    ours = Instance.objects.defer("thumbnail").in_bulk([UUID(found.id) for found in sifted.unknown])
    orphans, copies, remnants = [], list(sifted.duplicates), []
    for found in sifted.unknown:
        row = ours.get(UUID(found.id))
        if row is None:
            orphans.append(found)
        elif row.state == State.DELETED and row.cloud_id == cloud.pk:
            remnants.append(row)
        elif row.cloud_id != cloud.pk:
            copies.append(found)  # its instance has its place in another cloud, or in none
    return Sorted(orphans, copies, remnants)


def look_at(cloud: Cloud, provider: Provider, sifted: Sifted, *, began: datetime) -> Sorted:
    """After each list that was asked for at `began`, under the cloud's watch lock."""
    found = sorted_out(cloud, sifted)
    for row in found.remnants:
        _revive(row, began)
    seen = [_noted(cloud, one, Stray.Kind.ORPHAN) for one in found.orphans]
    seen += [_noted(cloud, one, Stray.Kind.DUPLICATE) for one in found.copies]
    past = Stray.objects.filter(cloud=cloud).exclude(pk__in=seen)
    if not sifted.doubt and past.exists():
        past.delete()
    if seen:
        _decide(cloud)
        _carry_out(cloud, provider)
    return found


def _revive(row: Instance, began: datetime) -> None:
    """Its cloud had confirmed that it is gone, and lists it again: it is deleted once more."""
    if row.state_since > began - SURE_AFTER:
        return
    with transaction.atomic():
        try:
            transitions.advance(
                row, State.DELETING, actor=None, reason="Its cloud still has it.", absences=0, due=timezone.now()
            )
        except (StaleInstance, IllegalTransition):
            return
        wake(row.pk)


def _noted(cloud: Cloud, found: Found, kind: Stray.Kind) -> int:
    now = timezone.now()
    observed = found.observed
    facts = {"kind": kind, "phase": observed.phase, "generation": observed.generation, "labels": dict(found.labels)}
    facts |= {"message": observed.message, "seen": now}
    with transaction.atomic():
        stray, new = Stray.objects.update_or_create(
            cloud=cloud, key=found.id, reference=observed.reference, defaults=facts
        )
        if new:
            log.warning("%s %s %s in cloud %s", kind, found.id, observed.reference, cloud.name)
            detail = {"instance": found.id, "reference": observed.reference, "labels": dict(found.labels)}
            audit.record(f"stray.{kind}", f"cloud:{cloud.name}", actor=None, detail=detail)
    return stray.pk


def _decide(cloud: Cloud) -> None:
    for rows, fate in due(Stray.objects.filter(cloud=cloud, seen__gt=F("found")), timezone.now()):
        rows.update(fate=fate)


def due(strays: QuerySet[Stray], now: datetime) -> Iterator[tuple[QuerySet[Stray], str]]:
    """Those whose fate is to be decided now. Copies go; orphans have the fate that the site chose, once they have been
    reported for long enough.
    """
    undecided = strays.filter(fate=Stray.Fate.REPORTED)
    yield undecided.filter(kind=Stray.Kind.DUPLICATE, found__lte=now - SURE_AFTER), Stray.Fate.DELETE
    if settings.ORPHANS in (Stray.Fate.ADOPT, Stray.Fate.DELETE):
        yield undecided.filter(kind=Stray.Kind.ORPHAN, found__lte=now - settings.ORPHANS_AFTER), settings.ORPHANS


def _carry_out(cloud: Cloud, provider: Provider) -> None:
    for stray in Stray.objects.filter(cloud=cloud).exclude(fate=Stray.Fate.REPORTED)[:AT_ONCE]:
        try:
            if stray.fate == Stray.Fate.ADOPT:
                adopt_by_policy(stray)
            else:
                _remove(cloud, provider, stray)
        except (ProviderError, InstanceError) as error:
            log.warning("stray %s in cloud %s: %s", stray.key, cloud.name, error)
            Stray.objects.filter(pk=stray.pk).update(trouble=str(error))


def _remove(cloud: Cloud, provider: Provider, stray: Stray) -> None:
    row = Instance.objects.filter(pk=UUID(stray.key)).first()
    here = row is not None and row.cloud_id == cloud.pk
    if row and (row.cloud_id is None or (here and row.state == State.DELETED)):
        return  # it has no place yet, or goes with all its copies
    if row and here and row.reference == stray.reference:
        stray.delete()  # meanwhile it is the one that counts
        return
    with call(cloud, "remove"):
        if here:
            provider.remove(stray.key, stray.reference)
        else:
            provider.delete(stray.key)
    with transaction.atomic():
        detail = {"instance": stray.key, "reference": stray.reference, "kind": stray.kind}
        stray.delete()
        audit.record("stray.removed", f"cloud:{cloud.name}", actor=None, detail=detail)
