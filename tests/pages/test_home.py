"""Home, the list of all instances, and what people may see there."""

import statistics
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from auth.models import User
from instances.models import Instance
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As, many

pytestmark = pytest.mark.django_db


def queries(client, address: str) -> int:  # type: ignore[no-untyped-def]
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_home_takes_the_same_queries_for_one_card_and_for_a_full_page(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ada)
    many(facility, facility.ada, 1)
    few = queries(client, "/")
    many(facility, facility.ada, 60)
    assert queries(client, "/") == few <= 11


def test_all_instances_take_the_same_queries_however_many_there_are(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    many(facility, facility.ada, 1)
    few = queries(client, "/all/")
    many(facility, facility.bob, 60)
    assert queries(client, "/all/") == few <= 11


def test_home_costs_little_with_500_instances(facility: Facility, signed_in: As) -> None:
    many(facility, facility.ada, 500)
    client = signed_in(facility.ada)
    times = []  # of this process alone: other tests run beside it
    for _ in range(25):
        begun = time.process_time()
        client.get("/")
        times.append(time.process_time() - begun)
    assert statistics.median(times) < 0.1


def test_a_page_has_twelve_cards(facility: Facility, signed_in: As) -> None:
    many(facility, facility.ada, 13)
    client = signed_in(facility.ada)
    first, second = client.get("/").content.decode(), client.get("/?page=2").content.decode()
    assert (first.count('class="tile"'), second.count('class="tile"')) == (12, 1)


def test_home_shows_my_instances_and_nobody_elses(facility: Facility, signed_in: As) -> None:
    instance(facility, facility.ada, name="Ada's own")
    for person in (facility.bob, facility.ivy):
        assert "Ada&#x27;s own" not in signed_in(person).get("/").content.decode()
    assert "Ada&#x27;s own" in signed_in(facility.ada).get("/").content.decode()


def test_whoever_has_no_experiment_is_told_why_and_whom_to_ask(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.eve).get("/").content.decode()
    assert "You take part in no experiment" in page
    assert "principal" in page
    assert "Choose an experiment, a desktop or JupyterLab" not in page


@pytest.mark.parametrize(("username", "status"), [("ada", 404), ("eve", 404), ("sci", 404), ("ivy", 200), ("aud", 200)])
def test_the_list_of_all_instances_is_for_staff(username: str, status: int, facility: Facility, signed_in: As) -> None:
    assert signed_in(getattr(facility, username)).get("/all/").status_code == status


def test_the_list_is_filtered_by_what_stands_in_its_address(facility: Facility, signed_in: As) -> None:
    instance(facility, facility.ada, State.READY, name="alpha")
    instance(facility, facility.bob, State.STOPPED, name="beta")
    client = signed_in(facility.ivy)
    for query, shown, hidden in [
        ("state=stopped", "beta", "alpha"),
        ("search=ada", "alpha", "beta"),
        ("search=bob+hc-1", "beta", "alpha"),
    ]:
        page = client.get(f"/all/?{query}").content.decode()
        assert f">{shown}</a>" in page
        assert f">{hidden}</a>" not in page


def test_the_card_of_a_deleted_instance_is_nothing(facility: Facility, signed_in: As) -> None:
    gone = instance(facility, facility.ada, State.DELETED)
    answer = signed_in(facility.ada).get(f"/instances/{gone.pk}/card/")
    assert (answer.status_code, answer.content) == (200, b"")


def foreign_addresses(made: Instance) -> list[str]:
    parts = ["", "card/", "thumbnail/", "progress/", "progress/steps/", "desktop/"]
    return [f"/instances/{made.pk}/{part}" for part in parts]


def test_somebody_elses_instance_does_not_exist(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada, thumbnail=b"\xff\xd8jpeg", thumbnail_at=timezone.now())
    client = signed_in(facility.bob)
    for address in foreign_addresses(made):
        assert client.get(address).status_code == 404, address
    for verb in ["start", "stop", "restart", "delete", "describe"]:
        assert client.post(f"/instances/{made.pk}/{verb}/").status_code == 404, verb
    made.refresh_from_db()
    assert (made.state, made.desired) == ("ready", "running")


def test_staff_see_an_instance_and_may_not_sit_in_it(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    client = signed_in(facility.ivy)
    assert client.get(f"/instances/{made.pk}/").status_code == 200
    refused = client.get(f"/instances/{made.pk}/desktop/")
    assert refused.status_code == 403
    assert "belongs to somebody else" in refused.content.decode()


def test_a_thumbnail_is_kept_by_its_owners_browser_only(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada, thumbnail=b"\xff\xd8jpeg", thumbnail_at=timezone.now())
    answer = signed_in(facility.ada).get(f"/instances/{made.pk}/thumbnail/")
    assert answer.content == b"\xff\xd8jpeg"
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"].startswith("private")


@pytest.mark.parametrize("address", ["/", "/new/", "/all/", "/experiments/", "/new/grants/"])
def test_whoever_is_not_signed_in_is_led_to_the_sign_in(address: str, client, facility: Facility) -> None:  # type: ignore[no-untyped-def]
    answer = client.get(address, headers={"host": "localhost"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/sign-in/")


def test_an_experiment_is_known_to_its_team_and_to_staff_only(facility: Facility, signed_in: As) -> None:
    def status(user: User, pk: int) -> int:
        return int(signed_in(user).get(f"/experiments/{pk}/").status_code)

    assert [status(user, facility.running.pk) for user in (facility.ada, facility.eve, facility.ivy)] == [200, 404, 200]
    assert status(facility.ada, facility.other.pk) == 404
    assert status(facility.eve, facility.open.pk) == 200


def test_the_team_of_open_data_is_not_shown_to_the_public(facility: Facility, signed_in: As) -> None:
    facility.open.participations.create(user=facility.bob, part="participant")
    assert "Bob Maes" not in signed_in(facility.eve).get(f"/experiments/{facility.open.pk}/").content.decode()
    assert "Bob Maes" in signed_in(facility.bob).get(f"/experiments/{facility.open.pk}/").content.decode()


def test_open_data_is_a_list_of_its_own(facility: Facility, signed_in: As) -> None:
    yours = signed_in(facility.ada).get("/experiments/").content.decode()
    assert "HC-1" in yours and "ES-3" not in yours
    opened = signed_in(facility.ada).get("/experiments/?of=open").content.decode()
    assert "ES-3" in opened and "HC-1" not in opened
    assert "HC-1" in signed_in(facility.ada).get("/experiments/?of=nonsense").content.decode()


def test_whoever_has_no_experiment_is_led_to_the_open_data(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.eve).get("/experiments/").content.decode()
    assert "No experiment yet" in page and '<a href="?of=open">open data</a>' in page


def test_a_search_that_finds_nothing_goes_on_in_the_open_data(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.ada).get("/experiments/?search=es-3").content.decode()
    assert "Nothing of yours fits" in page and '"?of=open&amp;search=es-3"' in page
    found = signed_in(facility.ada).get("/experiments/?of=open&search=es-3").content.decode()
    assert "ES-3" in found and 'name="of" value="open"' in found
    assert "Nothing in the open data" in signed_in(facility.ada).get("/experiments/?of=open&search=x9").content.decode()


def test_experiments_are_found_by_every_word(facility: Facility, signed_in: As) -> None:
    page = signed_in(facility.ada).get("/experiments/?search=hc-1+ID11").content.decode()
    assert "HC-1" in page
    assert "ES-3" not in page
