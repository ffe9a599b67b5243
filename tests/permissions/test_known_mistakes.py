"""Mistakes that portals of this kind are known to make with permissions: this one does not."""

from datetime import timedelta

import pytest
from django.utils import timezone

from auth.models import AuditEvent, RoleGrant
from instances.models import Ticket
from instances.services.visibility import visible_to
from instances.states import Desired, State
from tests import facility as facilities

from .conftest import As
from .personas import World

pytestmark = pytest.mark.django_db
SEE_ONLY = ("scientist", "contact", "contact_by_role", "control", "auditor")


@pytest.mark.parametrize("persona", [*SEE_ONLY, "participant", "principal_investigator", "stranger"])
def test_a_refused_deletion_marks_nothing_and_closes_nothing(around: World, signed_in: As, persona: str) -> None:
    made = facilities.instance(around.facility, around.people["owner"])
    client = signed_in(around.people[persona])
    for verb in ("delete", "stop", "restart", "start", "describe"):
        assert client.post(f"/instances/{made.pk}/{verb}/").status_code == (403 if persona in SEE_ONLY else 404)
    seat = client.post(
        f"/instances/{made.pk}/connections/", '{"app": "desktop", "mode": "watch"}', content_type="application/json"
    )
    assert seat.status_code == (403 if persona in SEE_ONLY else 404)
    made.refresh_from_db()
    assert (made.state, made.desired) == (State.READY, Desired.RUNNING)
    assert not Ticket.objects.exists() and not AuditEvent.objects.filter(target=f"instance:{made.pk}").exists()


def test_a_role_that_ended_counts_no_longer_from_that_moment(around: World) -> None:
    made = facilities.instance(around.facility, around.people["owner"])
    scientist, now = around.people["scientist"], timezone.now()
    RoleGrant.objects.filter(user=scientist).update(until=now + timedelta(minutes=1))
    before, after = (scientist.as_actor(at=now + timedelta(minutes=minutes)) for minutes in (0, 2))
    assert made in visible_to(before)
    assert made not in visible_to(after)


def test_a_role_that_names_no_instrument_or_experiment_gives_none(around: World) -> None:
    made = facilities.instance(around.facility, around.people["owner"])
    for role in ("instrument_scientist", "local_contact", "instrument_control"):
        RoleGrant.objects.create(user=around.people["stranger"], role=role, because="typed in a hurry", source="test")
    assert made not in visible_to(around.people["stranger"].as_actor())


def test_the_instrument_control_sees_seven_days_around_a_beam_time_and_no_more(around: World) -> None:
    made = facilities.instance(around.facility, around.people["owner"])
    control, experiment = around.people["control"].as_actor(), around.running
    for at, seen in [
        (experiment.start - timedelta(days=7, minutes=1), False),
        (experiment.start - timedelta(days=7), True),
        (experiment.end + timedelta(days=7, minutes=-1), True),
        (experiment.end + timedelta(days=7), False),
    ]:
        assert visible_to(control, at=at).filter(pk=made.pk).exists() == seen, at
