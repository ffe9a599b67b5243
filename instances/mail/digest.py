"""The daily digest: one mail to each person with what was collected for them, made once whoever makes it."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from auth.models import User
from instances.models.mail import Fate, Kind, Mail
from instances.services.mail import hand_over, row_of
from instances.services.mail_preferences import next_digest

BATCH = 100


def make_digests(now: datetime | None = None) -> int:
    """Hand over the digests that are due: of what was collected before VISA_DIGEST_HOUR; how many they are."""
    hour = next_digest(now or timezone.now()) - timedelta(days=1)
    key = f"digest:{hour:%Y-%m-%d}"
    waiting = Mail.objects.filter(fate=Fate.COLLECTED, digest=None, created__lt=hour)
    readers = User.objects.filter(pk__in=waiting.values("to")).exclude(mails__key=key).order_by("pk")
    return sum(_make(person, key, hour) for person in readers[:BATCH])


def _make(person: User, key: str, hour: datetime) -> bool:
    with transaction.atomic():
        parts = Mail.objects.filter(to=person, fate=Fate.COLLECTED, digest=None, created__lt=hour)
        found = list(parts.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
        if not found:
            return False  # another worker is at it
        digest = row_of(person, Kind.DIGEST, key=key, fate=Fate.WAITING)
        Mail.objects.bulk_create([digest], ignore_conflicts=True)
        if not Mail.objects.filter(pk=digest.pk).exists():
            return False
        Mail.objects.filter(pk__in=found).update(digest=digest)
        hand_over(digest.pk)
    return True
