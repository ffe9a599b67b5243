"""The pages of access tokens: the secret is shown once, nobody sees another's, and revoking asks first."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from auth.models import ApiToken
from auth.scopes import EVERYDAY, Scope
from auth.services.tokens import AT_ONCE, create_token
from tests.facility import Facility

from .conftest import As

pytestmark = pytest.mark.django_db
PAGE, NEW = "/account/tokens/", "/account/tokens/new/"


def wish(**fields: object) -> dict[str, object]:
    day = f"{timezone.now() + timedelta(days=30):%Y-%m-%d}"
    return {"name": "Laptop", "scopes": ["instances:read", "experiments:read"], "expires": day} | fields


def test_whoever_has_no_token_is_told_what_they_are_for(facility: Facility, signed_in: As) -> None:
    text = signed_in(facility.ada).get(PAGE).content.decode()
    assert "No token yet" in text and NEW in text


def test_the_secret_is_shown_once_and_kept_by_no_browser(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ada)
    form = client.get(NEW).content.decode()
    assert all(scope.description.replace("'", "&#x27;") in form for scope in Scope)
    made = client.post(NEW, wish())
    secret = made.context["secret"]
    assert made.status_code == 200 and secret in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    script = Client(headers={"authorization": f"Bearer {secret}"})
    assert script.get("/api/v1/instances/").status_code == 200
    assert script.get("/api/v1/flavours/").status_code == 403
    listed = client.get(PAGE).content.decode()
    assert secret not in listed and "Laptop" in listed and "instances:read" in listed and "from 127.0.0.1" in listed
    again = client.post(NEW, wish())
    assert again.status_code == 422 and "already" in again.content.decode() and ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "Give it a name"),
        ({"scopes": []}, "Choose at least one"),
        ({"scopes": ["everything"]}, "Choose at least one"),
        ({"expires": "soon"}, "within 365 days"),
        ({"expires": "2001-01-01"}, "within 365 days"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    facility: Facility, signed_in: As, fields: dict[str, object], sentence: str
) -> None:
    answer = signed_in(facility.ada).post(NEW, wish(**fields))
    assert answer.status_code == 422 and sentence in answer.content.decode()
    assert not ApiToken.objects.exists()
    if "name" not in fields:
        assert 'value="Laptop"' in answer.content.decode()


def test_revoking_asks_first_and_ends_it_at_once(facility: Facility, signed_in: As) -> None:
    token, secret = create_token(acting_user=facility.ada, name="Laptop", scopes=EVERYDAY)
    client, address = signed_in(facility.ada), reverse("auth:token_revoke", args=[token.pk])
    assert "Revoke “Laptop”?" in client.get(address).content.decode()
    script = Client(headers={"authorization": f"Bearer {secret}"})
    assert script.get("/api/v1/instances/").status_code == 200
    assert client.post(address).status_code == 302
    assert script.get("/api/v1/instances/").status_code == 401
    assert "Ended lately" in client.get(PAGE).content.decode()


def test_somebody_else_s_token_does_not_exist(facility: Facility, signed_in: As) -> None:
    token, _ = create_token(acting_user=facility.ada, name="Ada's laptop", scopes=EVERYDAY)
    for persona in (facility.bob, facility.ivy, facility.aud):
        client = signed_in(persona)
        assert "laptop" not in client.get(PAGE).content.decode()
        address = reverse("auth:token_revoke", args=[token.pk])
        assert client.get(address).status_code == client.post(address).status_code == 404
    assert ApiToken.objects.get().revoked is None


def test_with_20_tokens_the_page_says_what_to_do(facility: Facility, signed_in: As) -> None:
    for n in range(AT_ONCE):
        create_token(acting_user=facility.ada, name=f"n{n}", scopes=EVERYDAY)
    text = signed_in(facility.ada).get(PAGE).content.decode()
    assert "cannot have more" in text and NEW not in text
