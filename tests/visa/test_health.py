"""Whether the portal says how it is, and whether its models and its database agree."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from instances.models import Cloud

pytestmark = pytest.mark.django_db


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_a_live_process_says_so_to_anybody(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}


def test_readiness_names_the_clouds_that_nobody_watches(client: Client) -> None:
    now = timezone.now()
    Cloud.objects.create(name="fresh", title="Fresh", kind="local", observed_at=now)
    Cloud.objects.create(name="stale", title="Stale", kind="local", observed_at=now - timedelta(minutes=5))
    Cloud.objects.create(name="off", title="Off", kind="local", enabled=False)
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["clouds not observed lately"] == ["stale"]
    clouds = client.get("/health/clouds")
    assert (clouds.status_code, clouds.json()["clouds not observed lately"]) == (503, ["stale"])
    Cloud.objects.filter(name="stale").update(observed_at=now)
    assert client.get("/health/clouds").status_code == 200


def test_metrics_are_for_whoever_bears_the_token(client: Client, settings: Settings) -> None:
    Cloud.objects.create(name="fresh", title="Fresh", kind="local", observed_at=timezone.now(), doubt="empty")
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "of the tests"
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer of the test"}):
        assert client.get("/metrics", headers=header).status_code == 404
    text = client.get("/metrics", headers={"Authorization": "Bearer of the tests"}).content.decode()
    assert 'visa_cloud_doubted{cloud="fresh"} 1.0' in text
    assert "visa_cloud_observation_age_seconds" in text
