"""A worker says whether it does what it is for: to probes, on loopback."""

import time
from datetime import timedelta

import httpx2
import pytest
from django.utils import timezone

from instances.models import Cloud
from instances.reconcile.metrics import LATE, Loops, serve
from tests.portal import free_ports

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_is_ready_until_a_cloud_s_last_observation_is_stale_or_a_loop_is_stuck() -> None:
    cloud = Cloud.objects.create(name="one", title="One", kind="local", observed_at=timezone.now())
    port, loops = free_ports(1), Loops()
    loops.began("watch", 1.0)
    server = serve("127.0.0.1", port, loops)
    try:
        url = f"http://127.0.0.1:{port}"
        ask = httpx2.Client(base_url=url, trust_env=False, timeout=10)
        assert ask.get("/health/live").status_code == ask.get("/health/ready").status_code == 200
        Cloud.objects.update(observed_at=timezone.now() - timedelta(minutes=5))
        refused = ask.get("/health/ready")
        assert (refused.status_code, refused.json()) == (503, {"clouds not observed lately": [cloud.name]})
        age = next(line for line in ask.get("/metrics").text.splitlines() if "age_seconds{" in line)
        assert 300 <= float(age.split()[-1]) < 360
        Cloud.objects.update(observed_at=timezone.now())
        loops._done["watch"] = time.monotonic() - LATE - 5
        assert ask.get("/health/ready").json() == {"stuck": ["watch"]}
        assert ask.get("/anything").status_code == 404
    finally:
        server.shutdown()
        server.server_close()
