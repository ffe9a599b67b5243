"""People: found by what one knows of them, blocked with a reason, and out at once."""

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from auth.access import Role
from auth.models import AuditEvent, Login, RoleGrant, User
from auth.scopes import Scope
from auth.services.tokens import create_token
from instances.errors import Conflict, Denied, Invalid
from instances.services.people import block_person, unblock_person
from tests.facility import ISSUER, Facility, instance, person

from .conftest import As

pytestmark = pytest.mark.django_db
WHY = "Shared their account with a colleague"


def session_of(user: User) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    Login.objects.create(
        session_id=client.session.session_key, user=user, identity=user, iss=user.iss, sub=user.sub, sid=""
    )
    return client


def test_blocking_ends_sessions_tokens_and_connections_at_once(facility: Facility) -> None:
    browser = session_of(facility.bob)
    _, secret = create_token(acting_user=facility.bob, name="x", scopes=[Scope.INSTANCES_READ])
    script = Client(headers={"authorization": f"Bearer {secret}"})
    assert browser.get("/").status_code == script.get("/api/v1/instances/").status_code == 200
    with CaptureQueriesContext(connection) as captured:
        block_person(acting_user=facility.ivy, person=facility.bob, because=WHY)
    notified = [query["sql"] for query in captured if "pg_notify" in query["sql"]]
    assert any(f'"user": {facility.bob.pk}' in sql for sql in notified) and any(
        '"session": ' in sql for sql in notified
    )
    assert browser.get("/").status_code == 302
    assert script.get("/api/v1/instances/").status_code == 401
    assert not Session.objects.filter(login__user=facility.bob).exists()
    row = AuditEvent.objects.get(action="person.block")
    assert (row.actor_id, row.target, row.because) == (facility.ivy.pk, f"user:{facility.bob.pk}", WHY)
    unblock_person(acting_user=facility.ivy, person=facility.bob, because="It was a misunderstanding")
    assert script.get("/api/v1/instances/").status_code == 200
    assert AuditEvent.objects.get(action="person.unblock").because == "It was a misunderstanding"


def test_blocking_reaches_every_identity_of_a_person(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    _, secret = create_token(acting_user=facility.bob, name="x", scopes=[Scope.INSTANCES_READ])
    script = Client(headers={"authorization": f"Bearer {secret}"})
    block_person(acting_user=facility.ivy, person=facility.ada, because=WHY)
    assert not User.objects.filter(pk__in=[facility.ada.pk, facility.bob.pk], is_active=True).exists()
    assert script.get("/api/v1/instances/").status_code == 401


@pytest.mark.parametrize("persona", ["ada", "sci", "aud", "eve"])
def test_only_an_administrator_blocks(facility: Facility, persona: str) -> None:
    for act in (block_person, unblock_person):
        with pytest.raises(Denied):
            act(acting_user=getattr(facility, persona), person=facility.bob, because=WHY)
    assert User.objects.get(pk=facility.bob.pk).is_active


def test_nobody_blocks_themselves(facility: Facility) -> None:
    with pytest.raises(Denied, match="themselves"):
        block_person(acting_user=facility.ivy, person=facility.ivy, because=WHY)


def test_the_last_administrator_is_not_blocked(facility: Facility) -> None:
    RoleGrant.objects.create(user=facility.ada, role=Role.ADMINISTRATOR, because="x", source="test")
    other = person("ada2", "Ada's other identity")
    User.objects.filter(pk=other.pk).update(linked_to=facility.ivy)
    block_person(acting_user=facility.ada, person=facility.ivy, because=WHY)
    with pytest.raises(Denied):
        block_person(acting_user=facility.ivy, person=facility.ada, because=WHY)
    assert User.objects.get(pk=facility.ada.pk).is_active


def test_a_reason_is_needed_and_twice_is_said(facility: Facility) -> None:
    with pytest.raises(Invalid):
        block_person(acting_user=facility.ivy, person=facility.bob, because="no")
    block_person(acting_user=facility.ivy, person=facility.bob, because=WHY)
    with pytest.raises(Conflict, match="already"):
        block_person(acting_user=facility.ivy, person=facility.bob, because=WHY)


def test_the_page_blocks_and_unblocks(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_block", args=[facility.bob.pk])
    short = client.post(address, {"because": "no"})
    assert short.status_code == 422 and "10 to 200 characters" in short.content.decode()
    assert client.post(address, {"because": WHY}).status_code == 302
    assert client.post(address, {"because": WHY}).status_code == 409
    page = client.get(reverse("instances:administration_person", args=[facility.bob.pk])).content.decode()
    assert "Blocked" in page and "Unblock…" in page
    back = reverse("instances:administration_unblock", args=[facility.bob.pk])
    assert client.post(back, {"because": WHY}).status_code == 302
    assert (
        client.post(reverse("instances:administration_block", args=[facility.ivy.pk]), {"because": WHY}).status_code
        == 403
    )


@pytest.mark.parametrize("words", ["maes", "bob", "bob@example", "bob ma", "bob@lab.eu"])
def test_people_are_found_by_name_login_e_mail_and_subject(facility: Facility, signed_in: As, words: str) -> None:
    User.objects.filter(pk=facility.bob.pk).update(email="bob@lab.eu")
    text = signed_in(facility.aud).get(reverse("instances:administration_people"), {"search": words}).content.decode()
    assert "Bob Maes" in text and "Ada Lind" not in text


def test_people_come_in_pages_at_the_same_cost(facility: Facility, signed_in: As) -> None:
    client, address = signed_in(facility.aud), reverse("instances:administration_people")
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    User.objects.bulk_create(
        User(iss=ISSUER, sub=f"s{n}", username=f"u{n}", uid=700_000 + n, name=f"Many {n:03}") for n in range(120)
    )
    with CaptureQueriesContext(connection) as many:
        assert "Page 1 of 3" in client.get(address).content.decode()
    assert len(many) == len(few)
    assert "Page 3 of 3" in client.get(f"{address}?page=99").content.decode()


def test_a_person_s_page_shows_what_belongs_to_all_their_identities(facility: Facility, signed_in: As) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    instance(facility, facility.bob, name="Bob's analysis")
    session_of(facility.ada)
    client = signed_in(facility.aud)
    text = client.get(reverse("instances:administration_person", args=[facility.ada.pk])).content.decode()
    for said in (
        "bob@example.org",
        "HC-1",
        "Bob&#x27;s analysis",
        "through login.example.org",
        "Principal investigator",
    ):
        assert said in text, said
    led = client.get(reverse("instances:administration_person", args=[facility.bob.pk]))
    assert led["Location"] == reverse("instances:administration_person", args=[facility.ada.pk])
    assert client.get(reverse("instances:administration_person", args=[10**15])).status_code == 404
