"""From a configured cloud to the provider that drives it; and what is written down of how a cloud behaves."""

import json
import logging
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from auth import audit
from auth.models import User
from instances.errors import Denied, NotFound
from instances.models import Cloud, Instance
from instances.policy import may_administer
from instances.providers.base import Provider
from instances.states import Desired, Phase

from .mail import Kind, notify_administrators

KINDS = {
    "local": "instances.providers.local.provider.LocalProvider",
    "openstack": "instances.providers.openstack.provider.OpenStackProvider",
}
log = logging.getLogger(__name__)


def provider_for(cloud: Cloud) -> Provider:
    """The provider of `cloud`, kept for as long as its settings stay as they are."""
    return _make(cloud.name, cloud.kind, json.dumps(cloud.settings, sort_keys=True))


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
    """An administrator vouches that what is missing from a doubted cloud is gone; how many instances that is."""
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    with transaction.atomic():
        cloud = Cloud.objects.select_for_update().filter(pk=cloud_id).exclude(doubt="").first()
        if cloud is None:
            raise NotFound("There is no doubt about this cloud now.")
        missing = Instance.objects.filter(cloud=cloud, missing_since__isnull=False).exclude(desired=Desired.DELETED)
        gone = missing.update(phase=Phase.ABSENT)
        Cloud.objects.filter(pk=cloud.pk).update(doubt="", doubt_since=None)
        audit.record("cloud.believe", target_of(cloud), actor=actor, because=because, detail={"instances": gone})
    return gone


def target_of(cloud: Cloud) -> str:
    return f"cloud:{cloud.name}"
