"""The audit trail as it is read: every filter, every page, as CSV, and its chain."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.test import AsyncClient, Client
from django.urls import reverse

from auth import audit
from auth.models import AuditEvent
from instances.services import trail as service
from tests.facility import Facility

from .conftest import As

pytestmark = pytest.mark.django_db
PAGE = "instances:administration_audit"


def numbers(client: Client, **query: Any) -> list[int]:
    answer = client.get(reverse(PAGE), query)
    assert answer.status_code == 200
    return [row.seq for row, _ in answer.context["rows"]]


@pytest.fixture
def trail(facility: Facility) -> Facility:
    """Rows 1 to 120: Ada and Bob in turn launch instances, and the portal does every tenth."""
    for n in range(120):
        who = None if n % 10 == 9 else (facility.ada if n % 2 else facility.bob).as_actor()
        audit.record("instance.launch" if n % 3 else "role.grant", f"instance:{n % 4}", actor=who, detail={"n": n})
    return facility


def test_it_is_newest_first_and_every_filter_is_in_the_address(trail: Facility, signed_in: As) -> None:
    client = signed_in(trail.aud)
    assert numbers(client)[:2] == [120, 119]
    for query, column, value in [
        ({"person": "ada"}, "actor_id", trail.ada.pk),
        ({"person": "Maes"}, "actor_id", trail.bob.pk),
        ({"person": "system"}, "actor_id", None),
        ({"action": "role.grant"}, "action", "role.grant"),
        ({"action": "role."}, "action", "role.grant"),
        ({"target": "instance:3"}, "target", "instance:3"),
    ]:
        rows = AuditEvent.objects.filter(seq__lte=120, **{column: value}).order_by("-seq")
        assert numbers(client, **query) == list(rows.values_list("seq", flat=True)[:50]), query
    assert numbers(client, person="nobody") == [] == numbers(client, target="instance:99")
    both = numbers(client, person="ada", action="role.grant")
    assert both and all(row.actor_id == trail.ada.pk for row in AuditEvent.objects.filter(seq__in=both))


def test_a_span_of_time_holds_what_happened_in_it(trail: Facility, signed_in: As) -> None:
    client = signed_in(trail.aud)
    first, last = (AuditEvent.objects.get(seq=seq).at for seq in (30, 39))
    assert numbers(client, since=first.isoformat(), until=last.isoformat()) == list(range(39, 29, -1))
    assert numbers(client, since=(first + timedelta(days=365)).isoformat()) == []
    assert numbers(client, until=(first - timedelta(days=365)).isoformat()) == []
    wrong = client.get(reverse(PAGE), {"since": "yesterday"})
    assert wrong.status_code == 422 and "Write a day and a time" in wrong.content.decode()
    turned = client.get(reverse(PAGE), {"since": "2026-02-01", "until": "2026-01-01"})
    assert turned.status_code == 422 and "before the beginning" in turned.content.decode()


def test_pages_lead_through_all_rows_and_back_without_gaps(trail: Facility, signed_in: As) -> None:
    client = signed_in(trail.aud)
    seen: list[int] = []
    address = f"{reverse(PAGE)}?action=instance.launch"
    answer = client.get(address)
    forward = [[row.seq for row, _ in answer.context["rows"]]]
    while answer.context["older"]:
        answer = client.get(reverse(PAGE) + answer.context["older"])
        forward.append([row.seq for row, _ in answer.context["rows"]])
    for page in forward:
        seen += page
    launches = AuditEvent.objects.filter(action="instance.launch").order_by("-seq")
    assert seen == list(launches.values_list("seq", flat=True)) and len(forward) == 2
    answer = client.get(reverse(PAGE) + answer.context["newer"])
    assert [row.seq for row, _ in answer.context["rows"]] == forward[0] and not answer.context["newer"]


def test_a_search_is_written_down_once_however_many_pages_are_read(trail: Facility, signed_in: As) -> None:
    client = signed_in(trail.aud)
    numbers(client, person="ada")
    numbers(client, person="ada", before=60)
    numbers(client, person="ada", after=5)
    row = AuditEvent.objects.get(action="audit.search")
    assert (row.actor_id, row.target, row.detail) == (trail.aud.pk, "audit:trail", {"person": "ada"})


def test_the_cost_of_a_page_does_not_grow_with_the_trail(facility: Facility, signed_in: As) -> None:
    """Half a million rows, put in behind the triggers; the database's own plan reads no more than a page's worth."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "INSERT INTO visa_auth_auditevent (seq, at, actor_id, actor_name, action, target, because, detail,"
            " previous, digest) SELECT n, now() - interval '1 second' * (500000 - n), n % 500, 'somebody',"
            " 'a.' || n % 40, 'user:' || n % 3000, '', '{}', '', '' FROM generate_series(1, 500000) n"
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE visa_auth_auditevent")
    newest = AuditEvent.objects.order_by("-seq")[0].at
    client, read = signed_in(facility.aud), []
    span = {"since": (newest - timedelta(days=4)).isoformat(), "until": (newest - timedelta(days=3)).isoformat()}
    for query in [{}, {"before": 250_000}, {"action": "a.7"}, {"target": "user:17", "before": 400_000}, span]:
        wanted, _ = service.read({name: str(query.get(name, "")) for name in service.FILTERS})
        rows = service.search(wanted, acting_user=facility.aud, first=False)
        if "before" in query:
            rows = rows.filter(seq__lt=query["before"])
        plan = json.loads(rows[:51].explain(format="JSON", analyze=True))[0]
        read.append(_rows_read(plan["Plan"]))
        assert len(numbers(client, **query)) == 50
    assert max(read) < 5000, read


def _rows_read(plan: dict[str, Any]) -> int:
    own = (plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0)) * plan.get("Actual Loops", 1)
    return max([int(own), *(_rows_read(below) for below in plan.get("Plans", []))])


def test_the_csv_holds_the_filtered_rows_and_defuses_formulas(trail: Facility, signed_in: As) -> None:
    audit.record("x.y", "instance:1", actor=trail.ada.as_actor(), because='=HYPERLINK("http://evil")', detail={"ü": 1})
    client = signed_in(trail.aud)
    answer = client.get(reverse("instances:administration_download"), {"person": "ada"})
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    expected = AuditEvent.objects.filter(actor=trail.ada).order_by("-seq")
    assert [int(row["number"]) for row in rows] == list(expected.values_list("seq", flat=True))
    assert rows[0]["because"] == '\'=HYPERLINK("http://evil")' and rows[0]["detail"] == '{"ü": 1}'
    assert rows[0]["digest"] == bytes(expected[0].digest).hex()
    row = AuditEvent.objects.get(action="audit.download")
    assert (row.actor_id, row.detail) == (trail.aud.pk, {"person": "ada"})


def test_the_csv_is_read_in_pieces(trail: Facility, signed_in: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instances.services.trail.CHUNK", 50)
    answer = signed_in(trail.aud).get(reverse("instances:administration_download"))
    assert len(list(answer.streaming_content)) == 1 + 3


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_the_csv_is_streamed_too(facility: Facility) -> None:
    client = AsyncClient(headers={"host": "localhost"})
    await sync_to_async(client.force_login)(facility.aud)
    answer = await client.get(reverse("instances:administration_download"))
    assert answer.is_async
    lines = b"".join([piece async for piece in answer.streaming_content]).decode().splitlines()
    assert lines[0].startswith("number,time")
    await sync_to_async(connections.close_all)()


def test_the_chain_is_said_to_hold_and_until_where(trail: Facility, signed_in: As) -> None:
    answer = signed_in(trail.aud).get(reverse("instances:administration_chain"))
    text = answer.content.decode()
    assert "The chain holds" in text and "Rows 1 to 120 fit" in text
    assert bytes(AuditEvent.objects.get(seq=120).digest).hex() in text
    assert AuditEvent.objects.get(action="audit.check").detail == {
        "rows": 120,
        "last": 120,
        "broken": None,
        "complete": True,
    }


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE {} SET because = 'x' WHERE seq = 70", 70),
        ("DELETE FROM {} WHERE seq = 70", 71),
        ("DELETE FROM {} WHERE seq BETWEEN 20 AND 90", 91),
        ("DELETE FROM {} WHERE seq < 3", 3),
    ],
)
@pytest.mark.parametrize("at_once", [7, 60, 20_000])
def test_a_break_is_found_wherever_it_lies(
    trail: Facility, signed_in: As, monkeypatch: pytest.MonkeyPatch, sql: str, broken: int, at_once: int
) -> None:
    monkeypatch.setattr("instances.services.trail.CHECKED_AT_ONCE", at_once)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql.format(AuditEvent._meta.db_table))
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert audit.first_broken_link() == broken
    text = signed_in(trail.aud).get(reverse("instances:administration_chain")).content.decode()
    assert f"The chain breaks at row {broken}" in text


def test_a_long_chain_is_checked_in_parts(trail: Facility, signed_in: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instances.services.trail.CHECKED_AT_ONCE", 50)
    monkeypatch.setattr("instances.services.trail.PATIENCE", 0.0)
    client, address = signed_in(trail.aud), reverse("instances:administration_chain")
    assert "Go on from row 50" in client.get(address).content.decode()
    assert "Go on from row 100" in client.get(f"{address}?after=50").content.decode()
    assert "The chain holds" in client.get(f"{address}?after=100").content.decode()


def test_times_never_go_back_along_the_chain(trail: Facility) -> None:
    times = list(AuditEvent.objects.order_by("seq").values_list("at", flat=True))
    assert times == sorted(times)
