"""Who was in an instance: for its owner and those who look after the portal, on a page and as a table."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from instances.agents import in_words
from instances.models import Connection, Instance
from instances.services.share import share
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As

pytestmark = pytest.mark.django_db
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def desk(facility: Facility) -> Instance:
    return instance(facility, facility.ada)


def connection(desk: Instance, **fields: object) -> Connection:
    now = timezone.now()
    wanted = {"user": desk.owner, "instance": desk, "app": "desktop", "mode": "control", "broker": "b"}
    wanted |= {"address": "192.0.2.7", "agent": FIREFOX, "opened": now - timedelta(hours=2), "closed": now}
    return Connection.objects.create(**(wanted | {"bytes_in": 2048, "bytes_out": 5 << 20, "reason": "left"} | fields))


def test_the_page_says_who_from_where_in_which_role_and_why_it_ended(
    desk: Instance, facility: Facility, signed_in: As
) -> None:
    connection(desk)
    connection(desk, user=facility.bob, mode="watch", monitor=2, closed=None, reason="")
    for reader in (facility.ada, facility.ivy, facility.aud):
        text = signed_in(reader).get(f"/instances/{desk.pk}/history/").content.decode()
        for words in ("Ada Lind", "192.0.2.7", "Firefox 140 on Linux", "2.0", "5.0", "left", "Watch, screen 2", "open"):
            assert words in text


def test_nobody_else_reads_it(desk: Instance, facility: Facility, signed_in: As) -> None:
    connection(desk)
    share(desk.pk, acting_user=desk.owner, user=facility.bob.pk, role="collaborator")
    for reader, status in ((facility.bob, 403), (facility.sci, 403), (facility.eve, 404)):
        for address in ("history/", "history.csv"):
            answer = signed_in(reader).get(f"/instances/{desk.pk}/{address}")
            assert answer.status_code == status and b"192.0.2.7" not in answer.getvalue()


def test_it_stays_when_the_instance_is_deleted(desk: Instance, facility: Facility, signed_in: As) -> None:
    connection(desk)
    Instance.objects.update(state=State.DELETED)
    assert "192.0.2.7" in signed_in(facility.aud).get(f"/instances/{desk.pk}/history/").content.decode()


def test_a_page_has_fifty_and_the_table_has_all(desk: Instance, facility: Facility, signed_in: As) -> None:
    for _ in range(60):
        connection(desk)
    client = signed_in(facility.ada)
    assert client.get(f"/instances/{desk.pk}/history/?page=2").content.decode().count("192.0.2.7") == 10
    rows = list(csv.DictReader(io.StringIO(client.get(f"/instances/{desk.pk}/history.csv").getvalue().decode())))
    assert len(rows) == 60 and rows[0]["browser"] == FIREFOX and rows[0]["out"] == str(5 << 20)


def test_the_table_holds_no_formulas(desk: Instance, facility: Facility, signed_in: As) -> None:
    connection(desk, agent="=HYPERLINK(1)")
    table = signed_in(facility.ada).get(f"/instances/{desk.pk}/history.csv").getvalue().decode()
    assert ",'=HYPERLINK(1)," in table


def test_an_empty_page_says_what_will_be_there(desk: Instance, facility: Facility, signed_in: As) -> None:
    assert "Nobody has opened it yet" in signed_in(facility.ada).get(f"/instances/{desk.pk}/history/").content.decode()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox 140 on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 "
            "Safari/537.36 Edg/146.0.0.0",
            "Edge 146 on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 "
            "Safari/605.1.15",
            "Safari 19 on macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Mobile Safari/537",
            "Chromium 146 on Android",
        ),
        ("curl/8.1", "curl/8.1"),
        ("", ""),
    ],
)
def test_a_browser_is_named_in_a_few_words(agent: str, words: str) -> None:
    assert in_words(agent) == words
