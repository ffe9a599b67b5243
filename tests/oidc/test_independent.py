"""The portal against a certified provider that somebody else wrote: what our own one takes for granted is seen here."""

import json
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from django.contrib.sessions.models import Session

from auth.models import AuditEvent, Login, User
from auth.oidc import client as oidc_client
from auth.oidc import provider as provider_module

from .conftest import query
from .independent import ALICE, BRUNO, PEOPLE, Independent, Visitor

pytestmark = pytest.mark.django_db(transaction=True)
both = pytest.mark.parametrize("algorithm", ["ES256", "RS256"])


@both
def test_somebody_signs_in_and_is_described_by_userinfo(
    visitor: Visitor, independent: Independent, algorithm: str
) -> None:
    answer = visitor.http.get(visitor.log_in(visitor.start("/experiments/"), ALICE))
    assert (answer.status_code, answer.headers["location"]) == (302, "/experiments/")
    assert visitor.is_signed_in
    user = User.objects.get()
    assert (user.iss, user.sub, user.name) == (independent.url, ALICE, "Alice Moreau")
    assert user.email == "alice@uni.example"
    kept = Session.objects.get().get_decoded()["identity"]
    assert kept["assurance"] == PEOPLE[ALICE]["eduperson_assurance"]
    assert kept["entitlements"] == PEOPLE[ALICE]["eduperson_entitlement"]


def test_the_login_is_remembered_with_the_provider_s_session(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    login = Login.objects.get()
    assert (login.session_id, login.iss, login.sub) == (visitor.session, independent.url, ALICE)
    assert login.sid


def test_signing_in_again_gives_the_session_another_key(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    first = visitor.session
    visitor.come_in(ALICE)
    assert visitor.session != first
    assert [login.session_id for login in Login.objects.all()] == [visitor.session]
    assert not Session.objects.filter(session_key=first).exists()


@both
def test_a_code_that_was_used_is_refused_by_the_provider_too(visitor: Visitor, algorithm: str) -> None:
    first = visitor.log_in(visitor.start(), ALICE)
    assert visitor.http.get(first).status_code == 302
    visitor.http.cookies.clear()
    second = visitor.log_in(visitor.start(), BRUNO)
    answer = visitor.http.get(second.replace(query(second)["code"], query(first)["code"]))
    assert answer.status_code == 400
    assert not visitor.is_signed_in
    assert AuditEvent.objects.last().detail["kind"] == "stale"  # type: ignore[union-attr]


def test_the_provider_wants_the_verifier_that_belongs_to_the_code(visitor: Visitor, settings: Any) -> None:
    callback = visitor.log_in(visitor.start(), ALICE)
    answer = httpx2.post(
        f"{settings.OIDC['issuer']}/token",
        data={
            "grant_type": "authorization_code",
            "code": query(callback)["code"],
            "redirect_uri": f"{visitor.portal}/sign-in/callback/",
            "code_verifier": "x" * 43,
        },
        auth=(settings.OIDC["client_id"], settings.OIDC["client_secret"]),
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_somebody_who_cancels_there_is_told_so(visitor: Visitor) -> None:
    answer = visitor.come_in("")
    assert answer.status_code == 403
    assert "You were not signed in" in answer.text
    assert AuditEvent.objects.get().detail["kind"] == "denied"
    assert not visitor.is_signed_in


def test_an_answer_stripped_of_its_issuer_is_refused(visitor: Visitor) -> None:
    callback = httpx2.URL(visitor.log_in(visitor.start(), ALICE))
    assert "iss" in callback.params
    assert visitor.http.get(callback.copy_remove_param("iss")).status_code == 403
    assert not visitor.is_signed_in


@both
def test_new_keys_of_the_provider_are_found(
    visitor: Visitor, independent: Independent, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "KEYS_REST", 0.0)
    assert visitor.come_in(ALICE).status_code == 302
    independent.rotate()
    visitor.http.cookies.clear()
    assert visitor.come_in(BRUNO).status_code == 302
    assert visitor.is_signed_in


@both
def test_signing_out_ends_the_login_at_the_provider_too(
    visitor: Visitor, independent: Independent, algorithm: str
) -> None:
    visitor.come_in(ALICE)
    page = visitor.leave().headers["location"]
    assert page.startswith(f"{independent.url}/session/end?")
    assert not visitor.is_signed_in
    back = visitor.confirm_leaving(page)
    assert (back.status_code, back.headers["location"]) == (303, f"{visitor.portal}/sign-in/")
    assert independent.heard()[-1]["status"] == 200, "its own logout token, for a session that is gone, is welcome"
    login_page = visitor.http.get(visitor.start())
    assert "/interaction/" in login_page.headers["location"], "it asks who one is"


@both
def test_leaving_at_the_provider_ends_the_session_here(
    visitor: Visitor, independent: Independent, algorithm: str, heard: Any
) -> None:
    visitor.come_in(ALICE)
    key = visitor.session
    assert key
    page = oidc_client.configured().sign_out_url(back_to=f"{visitor.portal}/sign-in/")
    visitor.confirm_leaving(urljoin(independent.url, page))
    assert independent.heard()[-1]["status"] == 200
    assert not visitor.is_signed_in
    assert not Session.objects.filter(session_key=key).exists()
    closing = {"topic": "close", "session": sha256(key.encode()).hexdigest()}
    assert closing.items() <= heard()[0].items()
    assert AuditEvent.objects.last().action == "session.end"  # type: ignore[union-attr]


def test_a_logout_token_that_was_overheard_does_not_work_twice(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    visitor.confirm_leaving(oidc_client.configured().sign_out_url(back_to=f"{visitor.portal}/sign-in/"))
    token = independent.heard()[-1]["token"]
    visitor.come_in(ALICE)
    answer = httpx2.post(f"{visitor.portal}/sign-out/back-channel/", data={"logout_token": token})
    assert (answer.status_code, json.loads(answer.text)["reason"]) == (400, "replayed")
    assert visitor.is_signed_in
