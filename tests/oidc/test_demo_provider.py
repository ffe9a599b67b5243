"""The demo provider as any client meets it: what a real one refuses, it refuses."""

import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings
from joserfc import jwt
from joserfc.jwk import KeySet

from auth.oidc.claims import MFA
from auth.oidc.demo_provider.core import challenge_of
from auth.oidc.demo_provider.people import Person

from .conftest import SECRET, Browser, provider_process, query

PORTAL = "http://localhost:4999"
VERIFIER = "v" * 50


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def alone(data: Path) -> Iterator[str]:
    """A provider without a portal."""
    with provider_process(PORTAL, data) as url:
        yield url


@pytest.fixture
def someone() -> Iterator[Browser]:
    with httpx2.Client() as http:
        yield Browser(PORTAL, http)


def question(**other: str | None) -> dict[str, str]:
    asked = {
        "client_id": "portal",
        "redirect_uri": f"{PORTAL}/sign-in/callback/",
        "response_type": "code",
        "scope": "openid email profile aarc",
        "state": "a state & more",
        "nonce": "n",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (asked | other).items() if value is not None}


def code(someone: Browser, url: str, person: Person, *, factor: bool = True, **other: str | None) -> str:
    page = str(httpx2.Request("GET", f"{url}/authorize", params=question(**other)).url)
    answer = query(someone.choose(page, person, factor=factor))
    assert (answer["iss"], answer["state"]) == (url, "a state & more")
    return answer["code"]


def redeem(url: str, auth: tuple[str, str] | None = ("portal", SECRET), **form: str) -> httpx2.Response:
    body = {
        "grant_type": "authorization_code",
        "redirect_uri": f"{PORTAL}/sign-in/callback/",
        "code_verifier": VERIFIER,
    } | form
    return httpx2.post(f"{url}/token", data=body, auth=auth)


def test_a_code_becomes_tokens_once_and_a_second_try_takes_them_back(
    alone: str, someone: Browser, people: dict[str, Person]
) -> None:
    alice = people["Alice"]
    given = code(someone, alone, alice)
    token = redeem(alone, code=given).json()
    keys = KeySet.import_key_set(httpx2.get(f"{alone}/jwks").json())
    claims = jwt.decode(token["id_token"], keys, ["RS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"], claims["nonce"]) == (alone, alice.sub, "portal", "n")
    assert "email" not in claims
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    said = httpx2.get(f"{alone}/userinfo", headers=bearer).json()
    assert said["sub"] == said["voperson_id"] == alice.sub
    assert said["eduperson_entitlement"] == alice.claims["eduperson_entitlement"]
    assert redeem(alone, code=given).json()["error"] == "invalid_grant"
    assert httpx2.get(f"{alone}/userinfo", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("name", "wish", "factor", "acr"),
    [
        ("Alice", None, True, "https://refeds.org/profile/sfa"),
        ("Alice", MFA, True, MFA),
        ("Alice", MFA, False, "https://refeds.org/profile/sfa"),
        ("Dirk", MFA, False, None),
        ("Bruno", f"https://refeds.org/profile/sfa {MFA}", True, MFA),
        ("Bruno", "https://refeds.org/profile/sfa", True, None),
    ],
)
def test_a_second_factor_is_asked_for_when_the_portal_wishes_for_one(
    alone: str, someone: Browser, people: dict[str, Person], name: str, wish: str | None, factor: bool, acr: str | None
) -> None:
    given = code(someone, alone, people[name], factor=factor, acr_values=wish, prompt="login", max_age="0")
    keys = KeySet.import_key_set(httpx2.get(f"{alone}/jwks").json())
    claims = jwt.decode(redeem(alone, code=given).json()["id_token"], keys, ["RS256"]).claims
    assert claims.get("acr") == acr
    assert abs(claims["auth_time"] - time.time()) < 30


def test_a_second_factor_is_used_once(alone: str) -> None:
    answer = httpx2.post(f"{alone}/authorize/confirm", data={"request": "guessed", "used": "yes"})
    assert answer.status_code == 400
    assert "out of date" in answer.text


@pytest.mark.parametrize(
    ("form", "auth", "error"),
    [
        ({}, ("portal", "wrong"), "invalid_client"),
        ({}, ("another", SECRET), "invalid_client"),
        ({"client_id": "portal", "client_secret": SECRET}, None, "invalid_client"),
        ({"code_verifier": "w" * 50}, ("portal", SECRET), "invalid_grant"),
        ({"redirect_uri": f"{PORTAL}/"}, ("portal", SECRET), "invalid_grant"),
        ({"grant_type": "password"}, ("portal", SECRET), "unsupported_grant_type"),
        ({"code": "guessed"}, ("portal", SECRET), "invalid_grant"),
    ],
)
def test_a_code_is_worth_nothing_to_anybody_else(
    alone: str, someone: Browser, people: dict[str, Person], form: Any, auth: Any, error: str
) -> None:
    answer = redeem(alone, auth=auth, **({"code": code(someone, alone, people["Alice"])} | form))
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] == error


@pytest.mark.parametrize(
    "other",
    [
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": f"{PORTAL}/sign-in/callback/x"},
        {"redirect_uri": None},
        {"client_id": "another"},
    ],
    ids=str,
)
def test_nobody_is_sent_to_an_address_that_is_not_the_portal_s(alone: str, other: dict[str, str | None]) -> None:
    answer = httpx2.get(f"{alone}/authorize", params=question(**other))
    assert answer.status_code == 400
    assert "<form" not in answer.text


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "soon"}, "invalid_request"),
    ],
    ids=str,
)
def test_a_question_that_is_not_safe_is_answered_with_an_error(
    alone: str, other: dict[str, str | None], error: str
) -> None:
    answer = query(httpx2.get(f"{alone}/authorize", params=question(**other)).headers["location"])
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "a state & more", alone)


def test_the_page_shows_everybody_and_says_what_it_is(alone: str, people: dict[str, Person]) -> None:
    page = httpx2.get(f"{alone}/authorize", params=question())
    for person in people.values():
        assert f'data-sub="{person.sub}"' in page.text
        assert person.name in page.text
    assert "need no password" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "script" not in page.text


def test_a_page_answers_once(alone: str, someone: Browser, people: dict[str, Person]) -> None:
    answer = httpx2.post(f"{alone}/authorize/decide", data={"request": "guessed", "sub": people["Alice"].sub})
    assert answer.status_code == 400
    assert "out of date" in answer.text


def test_the_key_is_kept_and_is_for_its_owner_alone(data: Path, alone: str) -> None:
    file = data / "provider-key.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with provider_process(PORTAL, data) as again:
        assert httpx2.get(f"{again}/jwks").json() == httpx2.get(f"{alone}/jwks").json()
    assert '"d"' not in httpx2.get(f"{alone}/jwks").text


def test_a_public_client_needs_its_verifier_and_no_secret(
    tmp_path: Path, someone: Browser, people: dict[str, Person]
) -> None:
    with provider_process(PORTAL, tmp_path, secret="") as public:
        given = code(someone, public, people["Alice"])
        assert redeem(public, auth=None, client_id="portal", code=given).status_code == 200


def test_another_site_cannot_reach_it_by_a_name_of_its_own(alone: str) -> None:
    answer = httpx2.get(f"{alone}/authorize", params=question(), headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert httpx2.get(f"{alone}/nothing").status_code == 404


@pytest.mark.parametrize("option", ["--portal-url", "--issuer"])
def test_it_serves_nothing_beyond_this_machine(tmp_path: Path, option: str) -> None:
    command = ["manage.py", "demo_provider", "--port", "4998", "--data", str(tmp_path), option, "https://example.org"]
    done = subprocess.run([sys.executable, *command], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not on this machine" in done.stderr
