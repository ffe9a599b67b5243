"""When a right ends, what hangs on it ends: nobody looks at data any longer than they may.

An instance that has more of its owner's data than its owner may see now is closed to everybody in the transaction that
took the right away. It then starts anew with what remains, or stops: VISA_LOST_ACCESS. Ends that are known beforehand
are warned of.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from auth import audit, bus
from auth.data import DataGrant, Mode
from instances.models import Instance
from instances.states import Desired, State

from . import grants as data
from . import queue, transitions
from .wake import wake

AT_REST = (State.STOPPED, State.FAILED, State.DELETED)
"""Nothing runs that somebody could look into; a start asks anew."""
ENDING = (State.STOPPING, State.DELETING)
WARNING = timedelta(hours=24)
BATCH = 100


def recheck(*, users: Iterable[int], proposals: Iterable[int], because: str, **_: Any) -> int:
    """Look at what runs for `users` or with data of `proposals`, in the caller's transaction; how many lost data.

    Also the receiver of auth.rights.changed. Without the reason of the rules themselves `because` says why.
    """
    shown = Instance.objects.filter(experiments__proposal__in=list(proposals)).values("pk")
    return _recheck(Q(owner__in=list(users)) | Q(pk__in=shown), because=because)


def sweep() -> int:
    """Act upon grants whose end has come, and warn of those that end soon; how many instances lost data."""
    now = timezone.now()
    with transaction.atomic():
        lost = _recheck(Q(entitled_until__lte=now), because="Your access to some of its data has ended", some=True)
    _warn(now)
    return lost


def _recheck(which: Q, *, because: str, some: bool = False) -> int:
    rows = Instance.objects.filter(which).exclude(state__in=AT_REST).order_by("pk")
    locked = rows.select_related("owner", "environment", "flavour", "cloud").select_for_update(
        of=("self",), skip_locked=some, no_key=True
    )
    found = list(locked[:BATCH] if some else locked)
    return sum(_keep_within_rights(instance, because) for instance in found)


def _keep_within_rights(instance: Instance, because: str) -> bool:
    """Whether it lost something. What was gained comes with its next start; what is only reasoned anew is noted."""
    entitled = data.entitlements(instance, at=timezone.now())
    granted = data.granted_by(entitled)
    lost = lost_of(instance.grants, granted)
    if not lost:
        kept = {grant["path"] for grant in instance.grants}
        _note(instance, [grant for grant in granted if grant.path in kept])
        return False
    reasons = [
        entitled[pk].because for pk in sorted({g["experiment"] for g in lost}) if pk in entitled and not entitled[pk]
    ]
    reason = " ".join(dict.fromkeys(reasons)) or f"{because}."
    _withhold(instance, granted, reason, lost)
    return True


def lost_of(had: list[dict[str, Any]], granted: Iterable[DataGrant]) -> list[dict[str, Any]]:
    """Those of the stored grants that are not, or not as widely, among those of now."""
    modes = {grant.path: grant.mode for grant in granted}
    wider = {Mode.READ_WRITE: {Mode.READ_WRITE}, Mode.READ: {Mode.READ, Mode.READ_WRITE}}
    return [grant for grant in had if modes.get(grant["path"]) not in wider[Mode(grant["mode"])]]


def _note(instance: Instance, granted: list[DataGrant]) -> None:
    """The same folders, perhaps for another reason or until another day; their modes stay as mounted."""
    modes = {grant["path"]: grant["mode"] for grant in instance.grants}
    columns = data.columns(granted)
    for grant in columns["grants"]:
        grant["mode"] = modes[grant["path"]]
    if (columns["grants"], columns["entitled_until"]) != (instance.grants, instance.entitled_until):
        Instance.objects.filter(pk=instance.pk).update(**columns)


def _withhold(instance: Instance, granted: list[DataGrant], reason: str, lost: list[dict[str, Any]]) -> None:
    """Close it, and set it on its way to what its owner may still have. What waits in line has mounted nothing yet."""
    goes_on = bool(granted) and settings.LOST_ACCESS == "restart"
    what = "It starts anew without that data" if goes_on else "It is being stopped"
    message = f"{reason} {what}; your files in its home are kept."
    bus.announce("close", instance=str(instance.pk), reason=reason)
    fields: dict[str, Any] = data.columns(granted) | {"withheld": message, "warned_of": None}
    if instance.waiting_since:
        Instance.objects.filter(pk=instance.pk).update(**fields | {"withheld": ""})
        if not goes_on:
            queue.step_out(instance, actor=None, reason=f"{reason} It left the line.")
    elif instance.state in ENDING:
        Instance.objects.filter(pk=instance.pk).update(**fields)
    elif goes_on:
        _start_anew(instance, message, fields)
    else:
        _stop(instance, message, fields)
    audit.record(
        "instance.withhold",
        f"instance:{instance.pk}",
        actor=None,
        because=reason,
        detail={
            "lost": [{"path": g["path"], "mode": g["mode"]} for g in lost],
            "then": "restart" if goes_on else "stop",
        },
    )
    if not instance.waiting_since:
        wake(instance.pk)


def _start_anew(instance: Instance, message: str, fields: dict[str, Any]) -> None:
    """A new generation is what makes a worker mount anew; until it is seen the instance stays withheld."""
    fields |= {"generation": instance.generation + 1, "failures": 0}
    if instance.state == State.READY:
        transitions.advance(instance, State.RESTARTING, actor=None, reason=message, **fields)
        return
    Instance.objects.filter(pk=instance.pk).update(**fields, message=message)
    transitions.told(instance, message)


def _stop(instance: Instance, message: str, fields: dict[str, Any]) -> None:
    fields["desired"] = Desired.STOPPED
    if instance.state == State.UNKNOWN:  # its cloud is asked as soon as it answers
        Instance.objects.filter(pk=instance.pk).update(**fields, message=message)
        transitions.told(instance, message)
        wished, instance.desired = Desired(instance.desired), Desired.STOPPED
        transitions.tell_owner(instance, wished, actor=None, reason=message)
        return
    transitions.advance(instance, State.STOPPING, actor=None, reason=message, **fields)


def _warn(now: datetime) -> None:
    """Once for each end, a day before: in the timeline and on every page that shows the instance."""
    with transaction.atomic():
        soon = (
            Instance.objects.filter(Q(warned_of=None) | ~Q(warned_of=F("entitled_until")))
            .filter(entitled_until__gt=now, entitled_until__lte=now + WARNING)
            .exclude(state__in=AT_REST + ENDING)
            .select_for_update(skip_locked=True, no_key=True)
            .order_by("pk")[:BATCH]
        )
        for instance in soon:
            Instance.objects.filter(pk=instance.pk).update(warned_of=instance.entitled_until)
            proposals = proposals_ending(instance)
            transitions.told(instance, f"Access to {proposals} ends on {instance.entitled_until:%-d %B at %H:%M} UTC.")


def proposals_ending(instance: Instance) -> str:
    """Of the grants that end first: `HC-1 and HC-2`."""
    end = instance.entitled_until.isoformat() if instance.entitled_until else None
    return " and ".join(sorted({grant["proposal"] for grant in instance.grants if grant["until"] == end}))
