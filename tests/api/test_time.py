"""More time through the API: one call where a rule allows it, a request otherwise."""

from datetime import timedelta

import pytest
from django.utils import timezone

from instances.models import Instance, LifetimeRule
from tests.facility import Facility, instance

from .test_api import Api, facility

__all__ = ["facility"]  # the fixture

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def row(facility: Facility) -> Instance:
    LifetimeRule.objects.all().delete()
    LifetimeRule.objects.create(hours=336, idle_hours=96, extend_times=1, extend_hours=24)
    return instance(facility, facility.ada, expires=timezone.now() + 30 * HOUR)


def test_a_script_extends_once_and_then_asks(facility: Facility, row: Instance) -> None:
    api, path = Api(facility.ada), f"instances/{row.pk}/"
    seen = api("GET", path).json()["expires"]
    for _ in range(2):
        shown = api("POST", f"{path}extend/", {"expires": seen}).json()
        assert shown["extensions"] == 1 and shown["expires"] > seen
    refused = api("POST", f"{path}extend/")
    assert refused.status_code == 409 and "Ask for more time" in refused.json()["detail"]
    until = (timezone.now() + 400 * HOUR).isoformat()
    asked = api("POST", f"{path}extensions/", {"until": until, "because": "The refinement takes longer"})
    assert asked.status_code == 201 and asked.json()["state"] == "pending"
    assert [one["id"] for one in api("GET", "extensions/?state=pending").json()["results"]] == [asked.json()["id"]]
    assert Api(facility.bob)("GET", "extensions/").json()["results"] == []
    assert len(Api(facility.aud)("GET", "extensions/").json()["results"]) == 1
    for other, status in [(facility.bob, 404), (facility.ada, 200), (facility.ada, 409)]:
        assert Api(other)("POST", f"extensions/{asked.json()['id']}/withdraw/").status_code == status


def test_a_script_keeps_its_instance_running_within_its_lifetime(facility: Facility, row: Instance) -> None:
    api, path = Api(facility.ada), f"instances/{row.pk}/keep/"
    until = timezone.now() + HOUR
    assert api("POST", path, {"until": until.isoformat()}).json()["keep_until"]
    assert api("POST", path, {"until": None}).json()["keep_until"] is None
    wrong = api("POST", path, {"until": (until + 400 * HOUR).isoformat()})
    assert wrong.status_code == 400 or wrong.status_code == 422
    assert "Extend it first" in wrong.content.decode()


def test_what_ends_soon_is_told_to_those_who_may_inspect_it(facility: Facility, row: Instance) -> None:
    end = (timezone.now() + 20 * HOUR).isoformat()
    row.warnings = {"lifetime": {"of": end, "at": end, "last": True, "end": end}}
    row.save()
    shown = Api(facility.ada)("GET", f"instances/{row.pk}/").json()
    assert shown["ending"]["kind"] == "lifetime" and shown["pinned"] is False
    assert Api(facility.sci)("GET", f"instances/{row.pk}/").json()["ending"] is None
