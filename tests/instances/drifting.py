"""Instances that run as they are wanted, and an orphan, in the scripted cloud."""

from typing import Any

from django.utils import timezone

from instances.models import Instance
from instances.providers.base import Found, Observed
from instances.states import Phase
from tests import facility as facilities
from tests.facility import Facility

from .scripted import ScriptedCloud

BECAUSE = "Nobody knows this machine any more"


def running(facility: Facility, cloud: ScriptedCloud | None = None, **fields: Any) -> Instance:
    facts = {"phase": Phase.RUNNING, "observed_generation": 1, "apps_ready": ["desktop"], "observed_at": timezone.now()}
    row = facilities.instance(facility, facility.ada, **facts | fields)
    if cloud:
        cloud.rows[row.key] = Observed(Phase.RUNNING, 1, frozenset({"desktop"}))
    return row


def orphan(cloud: ScriptedCloud, **labels: str) -> Found:
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s", "experiments": ""} | labels
    found = Found("e" * 32, Observed(Phase.RUNNING, 3, frozenset({"desktop"})), labels)
    cloud.rows[found.id], cloud.labels[found.id] = found.observed, labels
    return found
