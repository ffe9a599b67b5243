"""Asking a cloud now, in one list, what it has against what is wanted of it; and doing what a tick does about that."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from instances.models import Cloud, Instance, Stray
from instances.providers.base import Found, Observed
from instances.services.wake import wake_many
from instances.states import Phase, State

from . import listed, strays, watch
from .compared import Compared, compare
from .sift import primary
from .watch import Look


@dataclass(frozen=True, slots=True)
class Survey:
    cloud: Cloud
    error: str = ""
    """Why it could not be asked; empty where it was."""
    doubt: str = ""
    """Why its list is not believed; empty where it is."""
    differing: Sequence[Compared] = ()
    agreeing: int = 0
    orphans: Sequence[Found] = ()
    copies: Sequence[Found] = ()
    remnants: Sequence[Instance] = ()
    actions: Sequence[tuple[str, str]] = ()
    """What was done, or would be: the instance's key, and a sentence."""

    @property
    def drifts(self) -> bool:
        beside = self.orphans or self.copies or self.remnants
        return bool(self.doubt or self.differing or beside or self.actions)


def report(cloud: Cloud) -> Survey:
    """As it is, and what `repair` would do about it. Nothing is written, and nothing but the list is asked for."""
    look = watch.peek(cloud)
    if look.error:
        return Survey(cloud, look.error)
    differing, agreeing = _compared(cloud, look)
    would = [(one.instance.key, one.drift.following) for one in differing]
    would += [(row.key, "It will be deleted once more.") for row in look.beside.remnants]
    would += _fates(cloud, [*look.beside.orphans, *look.beside.copies])
    return _survey(cloud, look, differing, agreeing, would)


def repair(cloud: Cloud) -> Survey | None:
    """Do what a tick does, and wake a worker for all that differs after it. None: a worker looks at it just now."""
    look = watch.look(cloud, now=True)
    if look is None:
        return None
    cloud.refresh_from_db()
    if look.error:
        return Survey(cloud, look.error)
    differing, agreeing = _compared(cloud, look)
    did = [
        (key, f"It was shown as {before.value}, and is shown as {after.known.state.value} now.")
        for key, after in listed.rows_of(cloud).items()
        if key in look.rows and (before := look.rows[key].known.state) is not after.known.state
    ]
    wake_many(one.instance.pk for one in differing)
    did += [(one.instance.key, "A worker was told to look at it.") for one in differing]
    did += [(row.key, "It is being deleted once more.") for row in look.beside.remnants if row.state == State.DELETING]
    did += _become(cloud, look.beside)
    return _survey(cloud, look, differing, agreeing, did)


def _survey(
    cloud: Cloud, look: Look, differing: Sequence[Compared], agreeing: int, actions: Sequence[tuple[str, str]]
) -> Survey:
    beside = look.beside
    return Survey(
        cloud,
        doubt=look.sifted.doubt,
        differing=differing,
        agreeing=agreeing,
        orphans=beside.orphans,
        copies=beside.copies,
        remnants=beside.remnants,
        actions=actions,
    )


def _compared(cloud: Cloud, look: Look) -> tuple[list[Compared], int]:
    """Those that differ, the longest first, and how many do not. What waits for a place is nothing to a cloud."""
    copies: dict[str, list[Found]] = defaultdict(list)
    for found in look.found:
        copies[found.id].append(found)
    now, as_it_is = timezone.now(), copy(cloud)
    as_it_is.doubt, as_it_is.trouble = look.sifted.doubt, ""
    differing, agreeing = [], 0
    instances = Instance.objects.filter(cloud=cloud, waiting_since=None).exclude(state=State.DELETED)
    instances = instances.select_related("owner", "environment").defer("thumbnail", "notes")
    for instance in instances.iterator(chunk_size=1000):
        if instance.key not in look.rows:
            continue  # it came after the list
        instance.cloud = as_it_is
        some = copies.get(instance.key)
        observed = primary(instance.reference, some).observed if some else Observed(Phase.ABSENT)
        one = compare(instance, observed, now)
        if one.drift.agrees:
            agreeing += 1
        else:
            differing.append(one)
    return sorted(differing, key=lambda one: one.since or now), agreeing


def _fates(cloud: Cloud, found: Sequence[Found]) -> list[tuple[str, str]]:
    """What a tick would do to strays."""
    known = _known(cloud)
    listed_now = Stray.objects.filter(pk__in=[known[place].pk for one in found if (place := _place(one)) in known])
    ripe = {row.pk: fate for rows, fate in strays.due(listed_now, timezone.now()) for row in rows}
    would = []
    for one in found:
        row = known.get(_place(one))
        fate = (row.fate or ripe.get(row.pk, "")) if row else ""
        words = {Stray.Fate.DELETE: "It will be deleted.", Stray.Fate.ADOPT: "It will be adopted."}
        would.append((one.id, words.get(Stray.Fate(fate), "It will be reported. It is not touched.")))
    return would


def _become(cloud: Cloud, beside: strays.Sorted) -> list[tuple[str, str]]:
    """What a tick has done to strays."""
    known = _known(cloud)
    keys = [UUID(one.id) for one in beside.orphans]
    adopted = set(Instance.objects.filter(pk__in=keys).values_list("pk", flat=True))
    did = []
    for one in [*beside.orphans, *beside.copies]:
        if row := known.get(_place(one)):
            more = row.trouble if row.fate else "It is not touched."
            did.append((one.id, f"It is {row.get_fate_display().lower()}. {more}".rstrip()))
        else:
            did.append((one.id, "It is adopted." if UUID(one.id) in adopted else "It is deleted."))
    return did


def _known(cloud: Cloud) -> Mapping[tuple[str, str], Stray]:
    return {(row.key, row.reference): row for row in Stray.objects.filter(cloud=cloud)}


def _place(found: Found) -> tuple[str, str]:
    return found.id, found.observed.reference
