"""Whether the portal says how it is, and whether its models and its database agree."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

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
