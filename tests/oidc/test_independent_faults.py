"""Lies about the answers of a certified provider, for each kind of its signatures: none signs anybody in."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from joserfc import jwt

from auth.models import AuditEvent, User
from auth.oidc import client as oidc_client

from .conftest import Wire, query
from .independent import ALICE, BRUNO, Independent, Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.parametrize("algorithm", ["ES256", "RS256"])]
Behind = tuple[Independent, Wire]


def retold(provider: Independent, algorithm: str, **lie: Any) -> Callable[[bytes], bytes]:
    """The token endpoint's answer, its ID token saying `lie` under a perfect signature."""

    def fault(body: bytes) -> bytes:
        answer = json.loads(body)
        payload = answer["id_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | lie
        key = provider.keys[algorithm]
        told = {name: value for name, value in claims.items() if value is not None}
        answer["id_token"] = jwt.encode({"alg": algorithm, "kid": key.kid}, told, key, [algorithm])
        return json.dumps(answer).encode()

    return fault


def refused(visitor: Visitor, answer: httpx2.Response, kind: str) -> None:
    assert answer.status_code in (400, 403, 503), answer.text
    assert not visitor.is_signed_in
    assert not User.objects.exists()
    assert AuditEvent.objects.get().detail["kind"] == kind


def test_the_truth_told_this_way_is_believed(deceived: Visitor, behind: Behind, algorithm: str) -> None:
    behind[1].faults["/token"] = retold(behind[0], algorithm)
    assert deceived.come_in(ALICE).status_code == 302
    assert deceived.is_signed_in


@pytest.mark.parametrize(
    "lie",
    [
        {"aud": "portal-of-others"},
        {"aud": None},
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": BRUNO},
        {"exp": 1},
    ],
    ids=str,
)
def test_a_token_for_another_or_by_another_is_refused(
    deceived: Visitor, behind: Behind, algorithm: str, lie: dict[str, Any]
) -> None:
    behind[1].faults["/token"] = retold(behind[0], algorithm, **lie)
    refused(deceived, deceived.come_in(ALICE), "untrusted")


def test_userinfo_of_somebody_else_is_refused(deceived: Visitor, behind: Behind, algorithm: str) -> None:
    behind[1].faults["/me"] = lambda body: json.dumps(json.loads(body) | {"sub": BRUNO}).encode()
    refused(deceived, deceived.come_in(ALICE), "untrusted")


def test_an_answer_whose_issuer_was_swapped_is_refused(deceived: Visitor, algorithm: str) -> None:
    callback = httpx2.URL(deceived.log_in(deceived.start(), ALICE))
    swapped = deceived.http.get(callback.copy_set_param("iss", "https://evil.example"))
    refused(deceived, swapped, "untrusted")


def test_an_answer_without_an_issuer_is_refused(deceived: Visitor, algorithm: str) -> None:
    callback = httpx2.URL(deceived.log_in(deceived.start(), ALICE))
    refused(deceived, deceived.http.get(callback.copy_remove_param("iss")), "untrusted")


def test_an_answer_with_another_state_is_refused(deceived: Visitor, algorithm: str) -> None:
    callback = httpx2.URL(deceived.log_in(deceived.start(), ALICE))
    refused(deceived, deceived.http.get(callback.copy_set_param("state", "x" * 43)), "stale")


def test_an_answer_that_was_used_is_refused(deceived: Visitor, algorithm: str) -> None:
    callback = deceived.log_in(deceived.start(), ALICE)
    assert deceived.http.get(callback).status_code == 302
    deceived.leave()
    deceived.http.cookies.clear()
    assert deceived.http.get(callback).status_code == 400
    assert not deceived.is_signed_in


def test_a_code_of_another_login_is_refused(deceived: Visitor, algorithm: str) -> None:
    callback = httpx2.URL(deceived.log_in(deceived.start(), ALICE))
    with httpx2.Client() as http:
        other = Visitor(deceived.portal, http)
        stolen = query(other.log_in(other.start(), BRUNO))["code"]
    refused(deceived, deceived.http.get(callback.copy_set_param("code", stolen)), "stale")


def test_a_provider_that_goes_down_in_the_middle_is_said_to_be_down(
    deceived: Visitor, behind: Behind, algorithm: str
) -> None:
    callback = deceived.log_in(deceived.start(), ALICE)
    behind[1].cut = True
    answer = deceived.http.get(callback)
    assert "The sign-in service does not answer" in answer.text
    refused(deceived, answer, "unreachable")
    behind[1].cut = False
    oidc_client._client.cache_clear()
    assert deceived.come_in(ALICE).status_code == 302
    assert deceived.is_signed_in
