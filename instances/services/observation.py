"""How lately the clouds were seen, and how everything stands: for health checks and metrics. A few small queries."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as Base

from instances.models import Instance, Stray
from instances.models.mail import Fate, Mail
from instances.services.clouds import kind_of, watched
from instances.states import State

SLACK = timedelta(seconds=20)


def stale(now: datetime) -> list[str]:
    """The clouds that are watched and whose last good observation is older than three of their ticks, and then some."""
    found = []
    for cloud in watched().defer("capacity"):
        if cloud.observed_at is None or now - cloud.observed_at > kind_of(cloud).tick * 3 + SLACK:
            found.append(cloud.name)
    return found


class Collector(Base):
    """What the rows say, at the moment of the question."""

    def collect(self) -> Iterator[Metric]:
        yield from _metrics(timezone.now())


def _metrics(now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "visa_cloud_observation_age_seconds", "Since a cloud last told what it holds.", labels=["cloud"]
    )
    silent = GaugeMetricFamily("visa_cloud_silent", "1 while a cloud does not answer.", labels=["cloud"])
    doubted = GaugeMetricFamily("visa_cloud_doubted", "1 while a cloud's list is not believed.", labels=["cloud"])
    spared = GaugeMetricFamily("visa_cloud_spared", "1 while its circuit breaker is open.", labels=["cloud"])
    for cloud in watched().defer("capacity"):
        name = [cloud.name]
        if cloud.observed_at:
            age.add_metric(name, (now - cloud.observed_at).total_seconds())
        silent.add_metric(name, bool(cloud.trouble))
        doubted.add_metric(name, bool(cloud.doubt))
        spared.add_metric(name, bool(cloud.closed_until and cloud.closed_until > now))
    yield from (age, silent, doubted, spared)
    states = GaugeMetricFamily("visa_instances", "Instances by state.", labels=["state"])
    rows = Instance.objects.exclude(state=State.DELETED).order_by().values_list("state").annotate(Count("pk"))
    for state, count in rows:
        states.add_metric([state], count)
    yield states
    waiting = Instance.objects.filter(waiting_since__isnull=False).exclude(state=State.DELETED).count()
    yield GaugeMetricFamily("visa_instances_waiting", "Instances in line for a place.", value=waiting)
    strays = GaugeMetricFamily("visa_strays", "Orphans and duplicates in clouds.", labels=["kind"])
    for kind, count in Stray.objects.order_by().values_list("kind").annotate(Count("pk")):
        strays.add_metric([kind], count)
    yield strays
    mails = GaugeMetricFamily("visa_mails_unsent", "Mails that wait, and that could not be sent.", labels=["fate"])
    unsent = Mail.objects.filter(fate__in=[Fate.WAITING, Fate.FAILED]).order_by()
    for fate, count in unsent.values_list("fate").annotate(Count("pk")):
        mails.add_metric([fate], count)
    yield mails
