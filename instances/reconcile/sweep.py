"""Waking what nobody woke: instances on their way whose worker died, and jobs that died with it."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from instances.models import Instance, Ticket
from instances.services.wake import wake_many
from instances.states import State

SETTLED = [state for state in State if state.settled]
BATCH = 100


def sweep() -> int:
    """Wake every instance that is due, on its way and in nobody's hands; how many there were."""
    now = timezone.now()
    with transaction.atomic():
        due = (
            Instance.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now), due__lte=now, waiting_since=None)
            .exclude(state__in=SETTLED)
            .select_for_update(skip_locked=True)
            .order_by("due")
            .values_list("pk", flat=True)[:BATCH]
        )
        found = list(due)
        Instance.objects.filter(pk__in=found).update(due=now + timedelta(seconds=5))
        wake_many(found)
    return len(found)


def forget_old_tickets() -> None:
    Ticket.objects.filter(expires__lt=timezone.now() - timedelta(hours=1)).delete()
