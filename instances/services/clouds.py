"""From a configured cloud to the provider that drives it; and what is written down of how a cloud behaves."""

import json
import logging
import threading
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from auth import audit
from auth.models import User
from instances.errors import Invalid, NotFound
from instances.models import Cloud, Instance, Stray
from instances.providers.base import Provider
from instances.states import Desired, Phase, State

from .mail import Kind, notify_administrators
from .roles import as_administrator, reason_problem

KINDS = {
    "local": "instances.providers.local.provider.LocalProvider",
    "openstack": "instances.providers.openstack.provider.OpenStackProvider",
}
RATE, BURST, CONCURRENCY = (0.1, 100.0), (1, 1000), (1, 100)
"""The least and the most that a cloud may be set to."""
log = logging.getLogger(__name__)
_making = threading.Lock()


def watched() -> QuerySet[Cloud]:
    """Those that are switched on, and those switched off that still hold something, until that is gone."""
    here = OuterRef("pk")
    held = Exists(Instance.objects.filter(cloud=here).exclude(state=State.DELETED)) | Exists(
        Stray.objects.filter(cloud=here)
    )
    return Cloud.objects.filter(Q(enabled=True) | held).order_by("title", "pk")


def provider_for(cloud: Cloud) -> Provider:
    """The provider of `cloud`, kept for as long as its settings stay as they are."""
    with _making:  # or threads that ask at once would get one each
        return _make(cloud.name, cloud.kind, json.dumps(cloud.settings, sort_keys=True))


def kind_of(cloud: Cloud) -> type[Provider]:
    """What is true of every cloud of its kind, however its settings are."""
    kind: type[Provider] = import_string(KINDS[cloud.kind])
    return kind


@lru_cache(maxsize=64)
def _make(name: str, kind: str, chosen: str) -> Provider:
    defaults = {
        "deployment": settings.DEPLOYMENT,
        "key": settings.INSTANCE_KEY,
        "portal": settings.PORTAL_URL,
        "folder": str(settings.DATA / "local"),
        "jupyter": str(settings.ROOT / ".environments/jupyter"),
    }
    provider: Provider = import_string(KINDS[kind])(name, defaults | json.loads(chosen))
    return provider


def heard(cloud: Cloud, *, at: datetime, capacity: dict[str, object] | None) -> None:
    """It answered the question of `at`; `capacity` where it was asked for that too."""
    fields: dict[str, Any] = {"observed_at": at, "trouble": "", "trouble_since": None}
    if capacity is not None:
        fields |= {"capacity": capacity, "capacity_at": at}
    with transaction.atomic():
        Cloud.objects.filter(pk=cloud.pk).update(**fields)
        if cloud.trouble:
            log.info("cloud %s answers again", cloud.name)
            audit.record("cloud.answers", target_of(cloud), actor=None, because="It answers again.")


def silent(cloud: Cloud, reason: str) -> None:
    """It does not answer; written once for each silence."""
    with transaction.atomic():
        began = Cloud.objects.filter(pk=cloud.pk, trouble="").update(trouble=reason, trouble_since=timezone.now())
        if began:
            log.warning("cloud %s: %s", cloud.name, reason)
            audit.record("cloud.silent", target_of(cloud), actor=None, because=reason)
        elif cloud.trouble != reason:
            Cloud.objects.filter(pk=cloud.pk).update(trouble=reason)


def doubted(cloud: Cloud, doubt: str) -> None:
    """Its list is believed no longer, or again (empty). One alert for each time that it begins."""
    now = timezone.now()
    with transaction.atomic():
        rows = Cloud.objects.filter(pk=cloud.pk)
        if not doubt:
            if rows.exclude(doubt="").update(doubt="", doubt_since=None):
                audit.record("cloud.believed", target_of(cloud), actor=None, because="Its list is whole again.")
            return
        if rows.filter(doubt="").update(doubt=doubt, doubt_since=now):
            log.error("cloud %s: %s Nothing is done to it until that is clear.", cloud.name, doubt)
            text = f"{doubt}\nNothing is deleted, made or given up there until it lists them again, or until an"
            text += " administrator says on the page of the clouds that they are gone."
            notify_administrators(
                Kind.ALERT, key=f"doubt:{cloud.pk}:{now.isoformat()}", title=f"{cloud} is not believed", text=text
            )
            audit.record("cloud.doubted", target_of(cloud), actor=None, because=doubt)


def believe(cloud_id: int, *, acting_user: User, because: str) -> int:
    """An administrator vouches that what is missing from a doubted cloud is gone; how many instances that is.

    Invalid without a reason; NotFound when there is no doubt.
    """
    actor = as_administrator(acting_user)
    because = " ".join(because.split())
    if problem := reason_problem(because):
        raise Invalid(problem)
    with transaction.atomic():
        cloud = Cloud.objects.select_for_update().filter(pk=cloud_id).exclude(doubt="").first()
        if cloud is None:
            raise NotFound("There is no doubt about this cloud now.")
        gone = missing_from(cloud).update(phase=Phase.ABSENT)
        Cloud.objects.filter(pk=cloud.pk).update(doubt="", doubt_since=None)
        audit.record("cloud.believe", target_of(cloud), actor=actor, because=because, detail={"instances": gone})
    return gone


def missing_from(cloud: Cloud) -> QuerySet[Instance]:
    """What its list lacks, and nobody wants gone."""
    return Instance.objects.filter(cloud=cloud, missing_since__isnull=False).exclude(desired=Desired.DELETED)


def change_cloud(
    cloud_id: int, *, acting_user: User, enabled: bool, rate: float | None, burst: int | None, concurrency: int | None
) -> Cloud:
    """Whether instances are placed there, and how much it is asked for. None is no number; Invalid has the sentences.

    Switched off, it gets no new instances. What it holds goes on and is watched until the last of it is gone.
    """
    actor = as_administrator(acting_user)
    wanted = {"rate": rate, "burst": burst, "concurrency": concurrency}
    bounds = {"rate": RATE, "burst": BURST, "concurrency": CONCURRENCY}
    if problems := {
        name: f"Give a number from {least:g} to {most:g}."
        for name, (least, most) in bounds.items()
        if not least <= (wanted[name] or 0) <= most
    }:
        raise Invalid(problems)
    wanted |= {"enabled": enabled}
    with transaction.atomic():
        cloud = Cloud.objects.select_for_update().filter(pk=cloud_id).first()
        if cloud is None:
            raise NotFound("There is no such cloud.")
        before = {name: getattr(cloud, name) for name in wanted}
        changed = {name: value for name, value in wanted.items() if value != before[name]}
        if changed:
            Cloud.objects.filter(pk=cloud.pk).update(**changed)
            detail = {"before": {name: before[name] for name in changed}, "after": changed}
            audit.record("cloud.change", target_of(cloud), actor=actor, detail=detail)
    for name, value in changed.items():
        setattr(cloud, name, value)
    return cloud


def target_of(cloud: Cloud) -> str:
    return f"cloud:{cloud.name}"
