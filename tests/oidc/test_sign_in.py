"""Signing in and out, over HTTP, with a portal and a provider that are both real."""

import time
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.sessions.models import Session

from auth.models import AuditEvent, User
from auth.oidc.demo_provider.people import Person

from .conftest import Browser, Wire, query

pytestmark = pytest.mark.django_db(transaction=True)


def events() -> list[tuple[str, str]]:
    return list(AuditEvent.objects.values_list("action", "target"))


def test_the_question_carries_pkce_state_and_nonce(browser: Browser, wire: Wire) -> None:
    first, second = query(browser.start()), query(browser.start())
    assert first["code_challenge_method"] == "S256"
    assert first["response_type"] == "code"
    assert first["redirect_uri"] == f"{browser.portal}/sign-in/callback/"
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


def test_somebody_unknown_gets_an_account_and_a_session(
    browser: Browser, people: dict[str, Person], wire: Wire
) -> None:
    answer = browser.sign_in(people["Inês"], "/experiments/?q=ü")
    assert (answer.status_code, answer.headers["location"]) == (302, "/experiments/?q=%C3%BC")
    user = User.objects.get()
    assert (user.iss, user.sub) == (wire.url, people["Inês"].sub)
    assert (user.username, user.name) == ("icarvalho", "Inês Carvalho")
    assert user.email == people["Inês"].claims["email"]
    assert not user.has_usable_password()
    assert browser.is_signed_in
    assert events() == [("session.sign_in", f"user:{user.pk}")]


def test_somebody_known_keeps_their_account_and_its_name(
    browser: Browser, stranger: Browser, people: dict[str, Person], wire: Wire
) -> None:
    user = User.objects.create(iss=wire.url, sub=people["Alice"].sub, username="am", name="A. M.")
    browser.sign_in(people["Alice"])
    stranger.sign_in(people["Alice"])
    assert list(User.objects.values_list("pk", "username", "name")) == [(user.pk, "am", "Alice Moreau")]


def test_an_account_of_the_same_name_at_another_provider_is_another(
    browser: Browser, people: dict[str, Person]
) -> None:
    alice = people["Alice"]
    other = User.objects.create(
        iss="https://else.example", sub=alice.sub, username="amoreau", name=alice.name, email=alice.claims["email"]
    )
    browser.sign_in(alice)
    assert User.objects.exclude(pk=other.pk).get().username == "amoreau2"


def test_the_session_gets_a_new_key_and_keeps_no_token(browser: Browser, people: dict[str, Person]) -> None:
    page = browser.start()
    before = browser.session
    browser.http.get(browser.choose(page, people["Alice"]))
    assert before
    assert browser.session != before
    session = Session.objects.get()
    assert session.session_key == browser.session
    kept = session.get_decoded()
    assert set(kept) == {"_auth_user_id", "_auth_user_backend", "_auth_user_hash", "identity", "confirmed"}
    assert set(kept["identity"]) == {"iss", "sub", "acr", "assurance", "entitlements"}


@pytest.mark.parametrize(
    "page",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        " //evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "evil",
        "/sign-out/",
        "/sign-in/start/",
    ],
)
def test_nobody_is_sent_to_a_foreign_page_afterwards(browser: Browser, people: dict[str, Person], page: str) -> None:
    assert browser.sign_in(people["Alice"], page).headers["location"] == "/"
    assert browser.http.get(f"{browser.portal}/sign-in/?next={quote(page)}").headers["location"] == "/"


def test_a_blocked_account_is_refused_and_that_is_recorded(
    browser: Browser, people: dict[str, Person], wire: Wire
) -> None:
    user = User.objects.create(iss=wire.url, sub=people["Bruno"].sub, username="b", name="B", is_active=False)
    answer = browser.sign_in(people["Bruno"])
    assert answer.status_code == 403
    assert "Your account is blocked" in answer.text
    assert not browser.is_signed_in
    assert events() == [("session.refuse", f"user:{user.pk}")]
    reference = AuditEvent.objects.get().detail["reference"]
    assert reference in answer.text


def test_whoever_is_blocked_later_is_out_at_once(browser: Browser, people: dict[str, Person]) -> None:
    browser.sign_in(people["Bruno"])
    User.objects.update(is_active=False)
    assert not browser.is_signed_in


def test_cancelling_at_the_provider_is_no_drama(browser: Browser) -> None:
    answer = browser.sign_in(None)
    assert answer.status_code == 403
    assert "You were not signed in" in answer.text
    assert AuditEvent.objects.get().detail["kind"] == "denied"


def test_when_the_provider_is_down_the_page_says_so(browser: Browser, wire: Wire) -> None:
    wire.cut = True
    answer = browser.http.get(f"{browser.portal}/sign-in/start/")
    assert answer.status_code == 503
    assert "does not answer" in answer.text
    assert "reference <code>" in answer.text


def test_the_sign_in_page_has_one_button_and_keeps_where_one_wanted_to_go(browser: Browser) -> None:
    page = browser.http.get(f"{browser.portal}/sign-in/", params={"next": "/new/?a=1&b=2"})
    assert page.text.count("btn-primary") == 1
    assert "Sign in with MyAccessID" in page.text
    assert "/sign-in/start/?next=%2Fnew%2F%3Fa%3D1%26b%3D2" in page.text
    assert "style=" not in page.text


def test_signing_out_ends_the_session_and_closes_what_it_opened(
    browser: Browser, people: dict[str, Person], wire: Wire, heard: Any
) -> None:
    browser.sign_in(people["Alice"])
    key = browser.session
    assert key
    browser.http.get(f"{browser.portal}/sign-in/")
    assert browser.http.get(f"{browser.portal}/sign-out/").status_code == 405
    assert browser.is_signed_in
    answer = browser.leave()
    assert answer.headers["location"].startswith(f"{wire.url}/end-session?")
    assert not Session.objects.filter(session_key=key).exists()
    assert not browser.is_signed_in
    assert heard() == [{"topic": "close", "session": sha256(key.encode()).hexdigest(), "reason": "signed out"}]
    assert [action for action, _ in events()] == ["session.sign_in", "session.sign_out"]
    back = browser.http.get(answer.headers["location"])
    assert (back.status_code, back.headers["location"]) == (303, f"{browser.portal}/sign-in/")


def test_signing_out_needs_the_page_s_own_token(browser: Browser, people: dict[str, Person]) -> None:
    browser.sign_in(people["Alice"])
    answer = browser.http.post(f"{browser.portal}/sign-out/", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert browser.is_signed_in


def test_signing_out_works_while_the_provider_is_down(browser: Browser, people: dict[str, Person], wire: Wire) -> None:
    from auth.oidc import client

    browser.sign_in(people["Alice"])
    client._client.cache_clear()
    wire.cut = True
    assert browser.leave().headers["location"] == "/sign-in/"
    assert not browser.is_signed_in


def test_signing_in_as_somebody_else_closes_what_the_first_had_open(
    browser: Browser, people: dict[str, Person], heard: Any
) -> None:
    page = browser.start()
    browser.sign_in(people["Alice"])
    key = browser.session
    assert key
    browser.http.get(browser.choose(browser.start(), people["Bruno"]))
    assert heard()[0]["session"] == sha256(key.encode()).hexdigest()
    assert browser.http.get(browser.choose(page, people["Alice"])).status_code == 400


def test_nothing_of_the_demo_provider_is_in_the_portal(browser: Browser) -> None:
    for path in (
        "/authorize",
        "/authorize/decide",
        "/token",
        "/userinfo",
        "/jwks",
        "/.well-known/openid-configuration",
    ):
        assert browser.http.get(browser.portal + path).status_code == 404


def test_an_answer_that_comes_after_a_quarter_of_an_hour_is_refused(
    browser: Browser, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = browser.choose(browser.start(), people["Alice"])
    later = time.time() + 901
    with monkeypatch.context() as patch:
        patch.setattr("auth.oidc.client.time.time", lambda: later)
        answer = browser.http.get(callback)
    assert answer.status_code == 400
    assert not browser.is_signed_in
