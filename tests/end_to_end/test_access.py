"""Whoever has no right gets nowhere: by page, route, socket or ticket."""

from collections.abc import Callable
from typing import Any

import httpx2
import psycopg
import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.portal import Portal, until

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def instance(portal: Portal) -> str:
    """A desktop of the participant, ready."""
    with portal.api("bruno") as api:
        (running,) = [e for e in api.get("/experiments/").json()["results"] if e["phase"] == "running"]
        asked = {"experiments": [running["id"]], "environment": "desktop", "flavour": "local.half"}
        made = api.post("/instances/", json=asked).json()["id"]
        until(lambda: api.get(f"/instances/{made}/").json()["state"] == "ready", what="the desktop to be ready")
    return str(made)


def test_the_person_with_nothing_can_launch_nothing_and_is_told_why(
    portal: Portal, sign_in: Callable[[str], Page]
) -> None:
    page = sign_in("ines")
    page.goto(f"{portal.url}/new/")
    expect(page.get_by_role("alert")).to_contain_text("You take part in no experiment")
    expect(page.get_by_role("button", name="Launch", exact=True)).to_be_disabled()


def test_somebody_else_s_instance_is_404_by_every_page_and_route(
    portal: Portal, sign_in: Callable[[str], Page], instance: str
) -> None:
    page = sign_in("chiara")
    for tail in ("", "card/", "thumbnail/", "progress/", "progress/steps/", "desktop/"):
        assert page.request.get(f"{portal.url}/instances/{instance}/{tail}").status == 404
    with portal.api("chiara") as api:
        for method, tail in [("GET", ""), ("GET", "events/"), ("PATCH", ""), ("DELETE", ""), ("POST", "stop/")]:
            assert api.request(method, f"/instances/{instance}/{tail}", json={}).status_code == 404
        refused = api.post(f"/instances/{instance}/connections/", json={"app": "desktop"})
        assert refused.status_code == 404


def ticket(portal: Portal, person: str, instance: str) -> dict[str, Any]:
    with portal.api(person) as api:
        seat: dict[str, Any] = api.post(f"/instances/{instance}/connections/", json={"app": "desktop"}).json()
    return seat


def knock(seat: dict[str, Any], origin: str | None) -> bytes | int:
    """The first bytes of the desktop, or the status or close code with which it is refused."""
    protocols = ["visa-desktop", f"ticket.{seat['ticket']}"]
    try:
        with connect(seat["url"], subprotocols=protocols, origin=origin, proxy=None) as socket:  # type: ignore[arg-type]
            return bytes(socket.recv(5, decode=False))
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


def test_a_ticket_opens_one_connection_once_from_the_portal_only(portal: Portal, instance: str) -> None:
    for origin in ("http://evil.example", None):
        assert knock(ticket(portal, "bruno", instance), origin) in (403, 4001)
    seat = ticket(portal, "bruno", instance)
    assert knock(seat, portal.url) == b"RFB 003.008\n"
    assert knock(seat, portal.url) in (403, 4001)
    assert knock(seat | {"ticket": "x" * 43}, portal.url) in (403, 4001)


def test_an_expired_ticket_opens_nothing(portal: Portal, instance: str) -> None:
    seat = ticket(portal, "bruno", instance)
    with psycopg.connect(portal.database_url, autocommit=True) as database:
        database.execute("UPDATE instances_ticket SET expires = now() - interval '1 second' WHERE redeemed IS NULL")
    assert knock(seat, portal.url) in (403, 4001)


def test_a_desktop_s_ticket_does_not_enter_jupyter(portal: Portal, instance: str) -> None:
    seat = ticket(portal, "bruno", instance)
    host = f"{instance.replace('-', '')}.apps.localhost:{portal.port + 1}"
    answer = httpx2.post(
        f"http://127.0.0.1:{portal.port + 1}/_enter",
        data={"ticket": seat["ticket"]},
        headers={"Host": host, "Origin": portal.url},
        trust_env=False,
    )
    assert answer.status_code in (401, 403, 404) and "set-cookie" not in answer.headers


def test_events_are_refused_from_a_foreign_origin_and_without_a_login(portal: Portal) -> None:
    url = portal.url.replace("http", "ws") + "/events"
    for origin in ("http://evil.example", portal.url):
        with pytest.raises(InvalidStatus) as refused, connect(url, origin=origin, proxy=None):  # type: ignore[arg-type]
            pass
        assert refused.value.response.status_code == 403


def test_a_request_with_a_foreign_origin_changes_nothing(
    portal: Portal, sign_in: Callable[[str], Page], instance: str
) -> None:
    page = sign_in("bruno")
    answer = page.request.post(
        f"{portal.url}/instances/{instance}/delete/", headers={"Origin": "http://evil.example"}, form={}
    )
    assert answer.status == 403
    with portal.api("bruno") as api:
        assert api.get(f"/instances/{instance}/").json()["state"] == "ready"
