"""`make bench-openstack`: how often nova is asked. Counted by nova itself, in its log of requests.

A hundred idle instances, a real worker, and two minutes in which nothing happens; then launches, one after the other.
"""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection

from instances.models import Instance
from instances.states import State

from .portal import Portal, portal
from .rig import Rig
from .test_portal import capacity

IDLE, MINUTES, IDLE_TARGET = 100, 2, 12.0
LAUNCHES, LAUNCH_TARGET = 5, 6.0
REQUEST = re.compile(r'"(GET|POST|PUT|DELETE) (/v2.1/\S*)"')


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(3600)
def test_calls(openstack: Rig, tmp_path: Path) -> None:
    site = portal(openstack, tmp_path)
    capacity(site)
    with site.worker():
        launched(site, IDLE)
        time.sleep(30)
        seen = len(requests(openstack))
        time.sleep(60 * MINUTES)
        idle = (len(requests(openstack)) - seen) / MINUTES
        report(f"nova calls per {IDLE} idle instances and minute", idle, IDLE_TARGET)
        seen = len(requests(openstack))
        for _ in range(LAUNCHES):
            launched(site, 1)
        calls = [line for line in requests(openstack)[seen:] if not is_watch(line)]
        report("nova calls per launch, besides the list", len(calls) / LAUNCHES, LAUNCH_TARGET)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: openstack.provider.delete(one.id), openstack.provider.observe_all()))
    assert idle <= IDLE_TARGET and len(calls) / LAUNCHES <= LAUNCH_TARGET


def launched(site: Portal, count: int) -> None:
    before = ready()

    def one(_: int) -> None:
        try:
            site.launch()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))
    site.until(lambda: ready() == before + count, 1200, lambda: f"{ready() - before} of {count}")


def ready() -> int:
    return Instance.objects.filter(state=State.READY).count()


def requests(rig: Rig) -> list[str]:
    log = rig.testbed.processes.log("nova").read_text(errors="replace")
    return [" ".join(match) for match in REQUEST.findall(log)]


def is_watch(request: str) -> bool:
    """The list of what changed, or of everything, and the limits that are asked for beside it."""
    return "changes-since" in request or request.endswith(("/servers/detail", "/limits"))


def report(what: str, found: float, target: float) -> None:
    sys.stdout.write(f"{what}: {found:.1f} (target {target:g})\n")
