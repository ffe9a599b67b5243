"""Buttons: what they do, what they ask first, and what they say."""

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from instances.models import Instance, Ticket
from instances.states import State
from tests.facility import Facility, instance

from .conftest import As, Browse

pytestmark = pytest.mark.django_db


def test_a_plain_form_stops_and_leads_back(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    answer = signed_in(facility.ada).post(f"/instances/{made.pk}/stop/", follow=True)
    made.refresh_from_db()
    assert made.state == State.STOPPING
    assert "mine is stopping." in answer.content.decode()


def test_a_script_gets_the_sentence_instead_of_a_page(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada, State.STOPPED)
    answer = signed_in(facility.ada).post(f"/instances/{made.pk}/restart/", headers={"HX-Request": "true"})
    assert answer.status_code == 409
    told = json.loads(answer.headers["HX-Trigger"])["toast"]
    assert told["level"] == "danger"
    assert "stopped" in told["text"]


def test_a_wrong_name_is_explained(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    answer = signed_in(facility.ada).post(f"/instances/{made.pk}/describe/", {"name": " ", "notes": ""}, follow=True)
    assert "A name has 1 to" in answer.content.decode()


def test_nobody_is_led_to_a_foreign_site(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    answer = signed_in(facility.ada).post(
        f"/instances/{made.pk}/stop/", headers={"referer": "https://evil.example.org/"}
    )
    assert answer.headers["Location"] == "/"


def test_actions_need_a_token_against_forgery(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    client = signed_in(facility.ada)
    client.handler.enforce_csrf_checks = True
    for verb in ["start", "stop", "restart", "delete", "describe", "connections"]:
        assert client.post(f"/instances/{made.pk}/{verb}/").status_code == 403, verb


def connect(client: Any, made: Instance, **body: Any) -> Any:
    return client.post(f"/instances/{made.pk}/connections/", body, content_type="application/json")


def test_a_seat_is_bound_to_the_login_it_came_from(facility: Facility, signed_in: As) -> None:
    made = instance(facility, facility.ada)
    client = signed_in(facility.ada)
    answer = connect(client, made, app="desktop")
    seat = answer.json()
    assert (answer.status_code, set(seat)) == (200, {"url", "ticket", "protocol"})
    assert answer.headers["Cache-Control"] == "no-store"
    ticket = Ticket.objects.get(digest=sha256(seat["ticket"].encode()).hexdigest())
    assert ticket.session == sha256(client.session.session_key.encode()).hexdigest()


@pytest.mark.parametrize(
    ("body", "status"), [({"app": "desktop"}, 409), ({"app": "nope"}, 422), ({}, 400), ({"app": "jupyter"}, 422)]
)
def test_a_seat_that_cannot_be_had_is_refused_with_a_sentence(
    body: dict[str, str], status: int, facility: Facility, signed_in: As
) -> None:
    made = instance(facility, facility.ada, State.STOPPED)
    answer = connect(signed_in(facility.ada), made, **body)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert not Ticket.objects.exists()


def test_the_signed_out_and_strangers_get_no_seat(facility: Facility, signed_in: As, client: Any) -> None:
    made = instance(facility, facility.ada)
    assert connect(client, made, app="desktop").status_code in (400, 401)
    for stranger in (facility.bob, facility.eve):
        assert connect(signed_in(stranger), made, app="desktop").status_code == 404
    assert connect(signed_in(facility.ivy), made, app="desktop").status_code == 403
    assert not Ticket.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_deleting_asks_first_and_says_what_stays(facility: Facility, browse: Browse) -> None:
    made = instance(facility, facility.ada, State.STOPPED)
    page = browse(facility.ada)
    page.goto("/")
    page.get_by_label("More for mine").click()
    page.get_by_role("link", name="Delete…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("your home folder")
    dialog.get_by_role("button", name="Keep it").click()
    made.refresh_from_db()
    assert made.state == State.STOPPED
    page.get_by_label("More for mine").click()
    page.get_by_role("link", name="Delete…").click()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("[data-state=deleting]")).to_be_visible()
    expect(page.get_by_text("is being deleted")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_stopping_from_the_card_updates_it_in_place(facility: Facility, browse: Browse) -> None:
    instance(facility, facility.ada)
    page = browse(facility.ada)
    page.goto("/")
    page.evaluate("window.stayed = true")
    page.get_by_label("More for mine").click()
    page.get_by_role("button", name="Stop…").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".tile [data-state=stopping]")).to_be_visible()
    assert page.evaluate("window.stayed")


@pytest.mark.django_db(transaction=True)
def test_the_theme_is_switched_and_remembered(facility: Facility, browse: Browse) -> None:
    page = browse(facility.ada)
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.get_by_label("Switch between light and dark").click()
    page.goto("/experiments/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


class Lab(BaseHTTPRequestHandler):
    seen: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append({"path": self.path, "headers": dict(self.headers), "form": parse_qs(body)})
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Lab</title><script>document.title += ' ' + (window.opener === null)</script>")

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def lab(settings: Any) -> Iterator[type[Lab]]:
    Lab.seen = []
    server = HTTPServer(("127.0.0.1", 0), Lab)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.BROKER_URL = f"http://localhost:{server.server_port}"
    settings.APPS_HOST = f"apps.localhost:{server.server_port}"
    yield Lab
    server.shutdown()


@pytest.mark.django_db(transaction=True)
def test_jupyter_is_entered_by_a_post_from_a_window_without_a_way_back(
    lab: type[Lab], facility: Facility, browse: Browse, server: str
) -> None:
    made = instance(facility, facility.ada, environment=facility.jupyter)
    page = browse(facility.ada)
    page.goto("/")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Open").click()
    opened.value.wait_for_url("**/_enter")
    expect(opened.value).to_have_title("Lab true")
    assert urlsplit(opened.value.url).hostname == f"{made.key}.apps.localhost"
    (entered,) = lab.seen
    assert entered["headers"]["Origin"] == server
    assert "visa_session" not in entered["headers"].get("Cookie", "")
    assert Ticket.objects.filter(digest=sha256(entered["form"]["ticket"][0].encode()).hexdigest()).exists()
    expect(page.get_by_role("button", name="Open in a tab")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_a_lab_that_cannot_be_entered_closes_its_window_and_says_why(
    lab: type[Lab], facility: Facility, browse: Browse
) -> None:
    made = instance(facility, facility.ada, environment=facility.jupyter)
    page = browse(facility.ada)
    page.goto("/")
    Instance.objects.filter(pk=made.pk).update(state=State.STOPPED)
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text("It is stopped")
    for _ in range(100):  # its window closes in its own time
        if len(page.context.pages) == 1:
            break
        page.wait_for_timeout(50)
    assert len(page.context.pages) == 1
