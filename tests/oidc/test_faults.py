"""A provider, or somebody between, that lies: each lie is found, and nobody is signed in by it."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from auth.models import AuditEvent, User
from auth.oidc import provider as provider_module
from auth.oidc.demo_provider.people import Person

from .conftest import Browser, Wire, provider_process, query

pytestmark = pytest.mark.django_db(transaction=True)


def decoded(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def signed(claims: dict[str, Any], key: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


def id_token(change: Callable[[str], Any]) -> Callable[[bytes], bytes]:
    def fault(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["id_token"] = change(answer["id_token"])
        return json.dumps(answer).encode()

    return fault


def refused(browser: Browser, answer: Any, kind: str) -> None:
    assert answer.status_code in (400, 403, 503), answer.text
    assert not browser.is_signed_in
    assert not User.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.action, event.detail["kind"]) == ("session.refuse", kind)


def test_a_used_answer_is_refused(browser: Browser, people: dict[str, Person]) -> None:
    callback = browser.choose(browser.start(), people["Alice"])
    assert browser.http.get(callback).status_code == 302
    assert browser.http.get(callback).status_code == 400


def test_a_code_that_was_redeemed_elsewhere_is_refused(browser: Browser, people: dict[str, Person], wire: Wire) -> None:
    first = browser.choose(browser.start(), people["Alice"])
    second = browser.choose(browser.start(), people["Bruno"])
    assert browser.http.get(first).status_code == 302
    replayed = second.replace(query(second)["code"], query(first)["code"])
    assert browser.http.get(replayed).status_code == 400
    assert list(User.objects.values_list("name", flat=True)) == ["Alice Moreau"]


def test_an_answer_in_another_browser_is_refused(
    browser: Browser, stranger: Browser, people: dict[str, Person]
) -> None:
    stranger.start()
    answer = stranger.http.get(browser.choose(browser.start(), people["Alice"]))
    refused(stranger, answer, "stale")


@pytest.mark.parametrize("state", ["", "wrong", "\0", "ü"])
def test_a_wrong_state_is_refused(browser: Browser, people: dict[str, Person], state: str) -> None:
    browser.start()
    answer = browser.http.get(f"{browser.portal}/sign-in/callback/", params={"state": state, "code": "x"})
    refused(browser, answer, "stale")


def test_a_state_given_twice_is_refused(browser: Browser, people: dict[str, Person]) -> None:
    answer = browser.http.get(browser.choose(browser.start(), people["Alice"]) + "&state=x")
    refused(browser, answer, "untrusted")


def test_an_answer_in_the_name_of_another_issuer_is_refused(
    browser: Browser, people: dict[str, Person], wire: Wire
) -> None:
    callback = browser.http.build_request("GET", browser.choose(browser.start(), people["Alice"])).url
    answer = browser.http.get(callback.copy_set_param("iss", "https://evil.example"))
    refused(browser, answer, "untrusted")
    assert not any(path.startswith("/token") for path in wire.seen)


def test_an_answer_without_its_issuer_is_refused(browser: Browser, people: dict[str, Person]) -> None:
    callback = browser.http.build_request("GET", browser.choose(browser.start(), people["Alice"])).url
    refused(browser, browser.http.get(callback.copy_remove_param("iss")), "untrusted")


def test_an_error_in_the_name_of_another_issuer_is_not_believed(browser: Browser) -> None:
    state = query(browser.start())["state"]
    answer = browser.http.get(
        f"{browser.portal}/sign-in/callback/",
        params={"error": "access_denied", "state": state, "iss": "https://evil.example"},
    )
    refused(browser, answer, "untrusted")


NOW = int(time.time())


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": []},
        {"aud": None},
        {"aud": ["portal", "another"]},
        {"azp": "another"},
        {"exp": NOW - 600},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": NOW + 6000},
        {"sub": None},
        {"sub": ""},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
def test_a_token_that_is_signed_well_and_says_something_wrong_is_refused(
    browser: Browser, people: dict[str, Person], wire: Wire, key: RSAKey, lie: dict[str, Any]
) -> None:
    def change(token: str) -> str:
        return signed({name: value for name, value in (decoded(token) | lie).items() if value is not None}, key)

    wire.faults["/token"] = id_token(change)
    refused(browser, browser.sign_in(people["Alice"]), "untrusted")


def test_the_forgery_of_these_tests_is_good_enough_to_pass_when_it_tells_the_truth(
    browser: Browser, people: dict[str, Person], wire: Wire, key: RSAKey
) -> None:
    wire.faults["/token"] = id_token(lambda token: signed(decoded(token), key))
    assert browser.sign_in(people["Alice"]).status_code == 302
    assert browser.is_signed_in


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    claims = decoded(token) | {"sub": "somebody else"}
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{signature}"


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    return f"{head}.{token.split('.')[1]}."


FORGER = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    "forge",
    [
        tampered,
        unsigned,
        lambda token: token + "x",
        lambda token: "no token",
        lambda token: None,
        lambda token: {"a": 1},
        lambda token: jwt.encode({"alg": "RS256", "kid": "unknown"}, decoded(token), FORGER),
        lambda token: jwt.encode({"alg": "RS256"}, decoded(token), FORGER),
    ],
)
def test_a_forged_token_is_refused(
    browser: Browser, people: dict[str, Person], wire: Wire, key: RSAKey, forge: Callable[[str], Any]
) -> None:
    wire.faults["/token"] = id_token(forge)
    refused(browser, browser.sign_in(people["Alice"]), "untrusted")


def test_the_public_key_is_not_taken_for_a_shared_secret(
    browser: Browser, people: dict[str, Person], wire: Wire, key: RSAKey
) -> None:
    def change(token: str) -> str:
        head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": key.kid}).encode()).decode().rstrip("=")
        text = f"{head}.{token.split('.')[1]}"
        digest = hmac.digest(key.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    wire.faults["/token"] = id_token(change)
    refused(browser, browser.sign_in(people["Alice"]), "untrusted")


def test_userinfo_about_somebody_else_is_refused(browser: Browser, people: dict[str, Person], wire: Wire) -> None:
    other = {"sub": people["Bruno"].sub, "name": "Bruno"}
    wire.faults["/userinfo"] = lambda body: json.dumps(other).encode()
    refused(browser, browser.sign_in(people["Alice"]), "untrusted")


@pytest.mark.parametrize("path", ["/token", "/userinfo", "/jwks"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff"])
def test_an_answer_that_is_no_answer_is_an_outage(
    browser: Browser, people: dict[str, Person], wire: Wire, path: str, body: bytes
) -> None:
    wire.faults[path] = lambda _: body
    answer = browser.sign_in(people["Alice"])
    assert not browser.is_signed_in
    refused(browser, answer, "unreachable")


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"userinfo_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)
def test_a_discovery_document_that_leads_elsewhere_is_refused(
    browser: Browser, wire: Wire, lie: dict[str, Any]
) -> None:
    wire.faults["/.well-known/openid-configuration"] = lambda body: json.dumps(json.loads(body) | lie).encode()
    assert browser.http.get(f"{browser.portal}/sign-in/start/").status_code == 403


def test_new_signing_keys_are_fetched_when_they_first_appear(
    browser: Browser, people: dict[str, Person], wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.sign_in(people["Alice"]).status_code == 302
    monkeypatch.setattr(provider_module, "KEYS_REST", 0.0)
    with provider_process(browser.portal, tmp_path, issuer=wire.url) as rotated:
        wire.target = rotated
        wire.seen.clear()
        assert browser.sign_in(people["Bruno"]).status_code == 302
        assert wire.seen.count("/jwks") == 1
        assert browser.sign_in(people["Alice"]).status_code == 302
        assert wire.seen.count("/jwks") == 1
