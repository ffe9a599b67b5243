"""What a cloud is spared: a rate, a number of calls at once, and any call at all while it fails.

The cloud's row holds a token bucket and a circuit breaker, so that they hold across all workers. A call that changes
something takes a token, and a place among those under way; after THRESHOLD failures in a row nothing is asked for a
while that doubles, then one call tries. What a cloud in doubt is asked to change waits until the doubt is over.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from instances.errors import ProviderError
from instances.models import Cloud, Instance

THRESHOLD = 5
"""Failures in a row after which a cloud is left alone."""
FIRST, LONGEST = timedelta(seconds=2), timedelta(minutes=1)
TRIAL = timedelta(seconds=15)
"""How long the one call that tries again may take before another tries."""
AHEAD = timedelta(seconds=2)
"""How far ahead a token may be taken; the call then waits for it."""


class Held(Exception):
    """Not now: `because`, and `pause` says when to ask again."""

    def __init__(self, because: str, pause: timedelta) -> None:
        super().__init__(because)
        self.because = because
        self.pause = pause


def check(cloud: Cloud) -> None:
    """Held while nothing may be asked of `cloud`. Of those who ask when that time is over, one passes and tries."""
    if cloud.failures < THRESHOLD or cloud.closed_until is None:
        return
    now = timezone.now()
    if cloud.closed_until > now:
        raise Held(f"{cloud} failed too often; it is tried again soon.", cloud.closed_until - now)
    # Compare and swap: the winner tries, the others wait for what it finds.
    if not Cloud.objects.filter(pk=cloud.pk, closed_until=cloud.closed_until).update(closed_until=now + TRIAL):
        raise Held(f"{cloud} is being tried again.", FIRST)


@contextmanager
def permitted(instance: Instance) -> Iterator[timedelta]:
    """The right to one call that changes something, within the instance's lease; yields how long to wait for it first.
    Give it back after a success.

    Held when the cloud is in doubt, has enough to do, or its tokens are taken for longer than AHEAD.
    """
    wait = _take(instance)
    try:
        yield wait
    except BaseException:
        give_back(instance)
        raise


def give_back(instance: Instance) -> None:
    """The call is over. After a success it is written together with what came of it."""
    Instance.objects.filter(pk=instance.pk, lease=instance.lease).update(acting=False)
    instance.acting = False


def _take(instance: Instance) -> timedelta:
    assert instance.cloud_id
    with transaction.atomic():
        cloud = Cloud.objects.select_for_update().defer("capacity", "settings").get(pk=instance.cloud_id)
        now = timezone.now()
        if cloud.doubt:
            raise Held(cloud.doubt, timedelta(seconds=5))
        if cloud.concurrency <= Instance.objects.filter(cloud=cloud, acting=True, lease_until__gt=now).count():
            raise Held(f"{cloud} is busy with other instances.", timedelta(milliseconds=random.randint(100, 900)))  # noqa: S311
        tokens = available(cloud, now)
        wait = wait_for(tokens, cloud.rate)
        if wait > AHEAD:
            raise Held(f"{cloud} is given no more than {cloud.rate:g} calls a second.", wait * random.uniform(1, 2))  # noqa: S311
        Cloud.objects.filter(pk=cloud.pk).update(tokens=tokens - 1, tokens_at=now)
        Instance.objects.filter(pk=instance.pk, lease=instance.lease).update(acting=True)
        instance.acting = True
    return wait


def available(cloud: Cloud, now: datetime) -> float:
    """Tokens in the bucket now; negative when some are taken ahead."""
    if cloud.tokens_at is None:
        return float(cloud.burst)
    gained = max(0.0, (now - cloud.tokens_at).total_seconds()) * cloud.rate
    return min(float(cloud.burst), cloud.tokens + gained)


def wait_for(tokens: float, rate: float) -> timedelta:
    """Until one more token is there."""
    missing = 1 - tokens
    return timedelta() if missing <= 0 else timedelta(seconds=min(3600.0, missing / max(rate, 1e-6)))


def failed(cloud: Cloud, error: ProviderError) -> None:
    """One more failure in a row. What can never work is an answer: the cloud is well."""
    if not error.retry:
        answered(cloud)
        return
    Cloud.objects.filter(pk=cloud.pk).update(failures=F("failures") + 1)
    cloud.refresh_from_db(fields=["failures", "closed_until"])
    if cloud.failures >= THRESHOLD:
        pause = min(LONGEST, FIRST * 2 ** min(cloud.failures - THRESHOLD, 10)) * random.uniform(0.8, 1.2)  # noqa: S311
        Cloud.objects.filter(pk=cloud.pk).update(closed_until=timezone.now() + pause)


def answered(cloud: Cloud) -> None:
    """It works; written only when it was not known."""
    if cloud.failures or cloud.closed_until:
        Cloud.objects.filter(pk=cloud.pk).update(failures=0, closed_until=None)
        cloud.failures, cloud.closed_until = 0, None
