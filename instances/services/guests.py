"""What machines report: how their first boot went, once, and later how hard they work.

A report is believed for its token alone, never for an id in it or the address it comes from; and it changes no state:
whether an app answers, the portal finds out by itself.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.digests import digest_of
from instances.errors import TicketRefused
from instances.models import Boot, Cloud, Guest, Instance, InstanceEvent
from instances.providers.base import Usage
from instances.providers.secrets import boot_token, derived
from instances.states import State

from . import transitions

LIFETIME = timedelta(hours=1)
"""From the last attempt to make the machine; a cloud that is busy builds for many minutes."""
EVERY = timedelta(minutes=1)
"""How often a machine tells how hard it works."""
SILENT = 3 * EVERY
GONE = (State.DELETING, State.DELETED)


def expect(instance: Instance) -> None:
    """Its machine may report the first boot of this generation, from now on and once."""
    token = digest_of(boot_token(settings.INSTANCE_KEY, instance.key, instance.generation))
    expires = timezone.now() + LIFETIME
    boot, made = Boot.objects.get_or_create(
        instance=instance, generation=instance.generation, defaults={"digest": token, "expires": expires}
    )
    if not made:
        Boot.objects.filter(pk=boot.pk, reported=None).update(expires=expires)


def report_boot(token: str, *, trouble: Sequence[str], certificate: str) -> str:
    """What the machine is recognised by from now on. TicketRefused for a token that is unknown, used or over."""
    credential = secrets.token_urlsafe(32)
    now = timezone.now()
    with transaction.atomic():
        # no look at the instance in the same breath: PostgreSQL would not judge a subquery anew after waiting
        awaited = Boot.objects.filter(digest=digest_of(token), reported=None, expires__gt=now)
        if not awaited.update(reported=now):
            raise TicketRefused("This token opens nothing.")
        boot = Boot.objects.select_related("instance").get(digest=digest_of(token))
        if boot.instance.state in GONE:
            raise TicketRefused("This token opens nothing.")
        found = [*trouble, *_impostor(boot, certificate)]
        Boot.objects.filter(pk=boot.pk).update(trouble=found)
        for sentence in found:
            InstanceEvent.objects.create(instance=boot.instance, generation=boot.generation, message=sentence)
        known = {"credential": digest_of(credential), "heard": now, "cpu_seconds": None, "gpu": None}
        Guest.objects.update_or_create(instance=boot.instance, defaults=known)
        transitions.tell(boot.instance)
        audit.record(
            "guest.boot",
            f"instance:{boot.instance_id}",
            actor=None,
            because="Its machine reported with its one-time token",
            detail={"generation": boot.generation, "trouble": found, "certificate": certificate},
        )
    return credential


def heartbeat(credential: str, usage: Usage) -> None:
    """TicketRefused for a credential that is unknown, replaced, or of an instance that is no more."""
    known = Guest.objects.filter(credential=digest_of(credential)).exclude(instance__state__in=GONE)
    if not known.update(heard=timezone.now(), cpu_seconds=usage.cpu_seconds, gpu=usage.gpu):
        raise TicketRefused("This credential opens nothing.")


def usage(cloud: Cloud, *, at: datetime | None = None) -> dict[str, Usage]:
    """By instance id, what machines of `cloud` said lately: for what its own answer leaves out."""
    since = (at or timezone.now()) - SILENT
    heard = Guest.objects.filter(instance__cloud=cloud, heard__gt=since, cpu_seconds__isnull=False)
    rows = heard.values_list("instance_id", "cpu_seconds", "gpu")
    return {instance.hex: Usage(cpu, gpu) for instance, cpu, gpu in rows}


def _impostor(boot: Boot, certificate: str) -> list[str]:
    """A sentence for a machine that does not show the certificate that it was given."""
    ours = derived(settings.INSTANCE_KEY, boot.instance.key, boot.generation).fingerprint
    return [] if certificate == ours else ["Its machine has another certificate than its own: it cannot be opened."]
