"""Before a right to data ends, every page that shows the instance says when, and what becomes of it."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from instances.models import Instance
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db


def ending(facility: Facility, at: datetime, *, alone: bool = False, state: State = State.READY) -> Instance:
    folder = {"target": "/data/visitor/x", "path": "x", "mode": "read", "because": "you are local contact of HC-1"}
    grants = [folder | {"proposal": "HC-1", "experiment": facility.running.pk, "until": at.isoformat()}]
    if not alone:
        grants.append(folder | {"proposal": "HC-2", "path": "y", "experiment": facility.other.pk, "until": None})
    return instance(facility, facility.ada, state, grants=grants, entitled_until=at)


@pytest.mark.parametrize(("alone", "words"), [(True, "this instance stops"), (False, "without the data of HC-1")])
def test_cards_and_the_instance_s_page_say_what_ends_within_a_day(
    facility: Facility, signed_in: As, alone: bool, words: str
) -> None:
    row = ending(facility, timezone.now() + timedelta(hours=20), alone=alone)
    for address in ("/", f"/instances/{row.pk}/"):
        page = signed_in(facility.ada).get(address).content.decode()
        assert "Access to HC-1 ends" in page and words in page


@pytest.mark.parametrize(("hours", "state"), [(30, State.READY), (20, State.STOPPED)])
def test_nothing_is_said_while_it_is_far_or_nothing_runs(
    facility: Facility, signed_in: As, hours: int, state: State
) -> None:
    ending(facility, timezone.now() + timedelta(hours=hours), state=state)
    assert "Access to HC-1 ends" not in signed_in(facility.ada).get("/").content.decode()


def test_an_instance_that_is_withheld_says_why(facility: Facility, signed_in: As) -> None:
    row = instance(
        facility, facility.ada, withheld="You are not on the team of HC-1. It starts anew without that data."
    )
    assert "not on the team of HC-1" in signed_in(facility.ada).get(f"/instances/{row.pk}/").content.decode()
    answer = signed_in(facility.ada).get(f"/instances/{row.pk}/desktop/")
    assert answer.status_code == 403 and "not on the team of HC-1" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_desktop_says_it_on_top_of_the_picture(facility: Facility, browse: Browse) -> None:
    row = ending(facility, timezone.now() + timedelta(minutes=9, seconds=50), alone=True)
    page = browse(facility.ada)
    page.goto(f"/instances/{row.pk}/desktop/")
    toast = page.get_by_role("alert").filter(has_text="Access ends in 10 minutes")
    toast.wait_for()
    assert "this instance stops" in toast.inner_text()
