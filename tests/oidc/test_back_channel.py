"""The provider says that a login ended. Whoever says it without its signature, twice or too late is not heard."""

import base64
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from joserfc import jws

from auth.models import AuditEvent, Login, SpentLogout, User
from auth.oidc import client as oidc_client
from auth.oidc.logout import EVENT
from instances.broker import tickets
from instances.errors import TicketRefused
from instances.services.connect import connect
from instances.states import State
from tests import facility as facilities

from .independent import ALICE, BRUNO, Independent, Visitor, new_keys

pytestmark = pytest.mark.django_db(transaction=True)
both = pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
Claims = dict[str, Any]


def claims(independent: Independent, **changes: Any) -> Claims:
    now = int(time.time())
    said = {
        "iss": independent.url,
        "aud": "portal-ES256",
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_urlsafe(8),
        "events": {EVENT: {}},
        "sub": ALICE,
    }
    return {name: value for name, value in (said | changes).items() if value is not None}


def tell(visitor: Visitor, *tokens: str) -> httpx2.Response:
    return httpx2.post(f"{visitor.portal}/sign-out/back-channel/", data={"logout_token": list(tokens)})


def not_heard(visitor: Visitor, answer: httpx2.Response, reason: str) -> None:
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert (said["status"], said["reason"], said["error"]) == (400, reason, "invalid_request")
    assert said["detail"]
    assert visitor.is_signed_in
    assert not AuditEvent.objects.filter(action="session.end").exists()


@both
def test_a_logout_token_ends_the_session(visitor: Visitor, independent: Independent, algorithm: str) -> None:
    visitor.come_in(ALICE)
    sid = Login.objects.get().sid
    said = claims(independent, sid=sid, aud=f"portal-{algorithm}")
    answer = tell(visitor, independent.sign(said, algorithm=algorithm))
    assert (answer.status_code, answer.headers["cache-control"], answer.text) == (200, "no-store", "")
    assert not visitor.is_signed_in
    assert not Login.objects.exists()
    event = AuditEvent.objects.get(action="session.end")
    assert event.target == f"user:{User.objects.get().pk}"
    assert (event.actor_name, event.because) == ("system", "signed out by the sign-in service")
    assert event.detail == {"sessions": 1, "jti": said["jti"], "all": False}


def test_a_token_without_a_session_ends_all_of_the_subject_and_nobody_else_s(
    visitor: Visitor, independent: Independent
) -> None:
    visitor.come_in(ALICE)
    with httpx2.Client() as http, httpx2.Client() as other:
        elsewhere, bruno = Visitor(visitor.portal, http), Visitor(visitor.portal, other)
        elsewhere.come_in(ALICE)
        bruno.come_in(BRUNO)
        assert tell(visitor, independent.sign(claims(independent), algorithm="ES256")).status_code == 200
        assert [one.is_signed_in for one in (visitor, elsewhere, bruno)] == [False, False, True]
    assert AuditEvent.objects.get(action="session.end").detail["sessions"] == 2


def test_a_token_about_one_session_leaves_the_other_ones(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    sid = Login.objects.get().sid
    with httpx2.Client() as http:
        elsewhere = Visitor(visitor.portal, http)
        elsewhere.come_in(ALICE)
        tell(visitor, independent.sign(claims(independent, sid=sid, sub=None), algorithm="ES256"))
        assert [one.is_signed_in for one in (visitor, elsewhere)] == [False, True]


def test_a_session_whose_login_named_none_ends_with_its_subject(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    Login.objects.update(sid="")
    assert tell(visitor, independent.sign(claims(independent, sid="any"), algorithm="ES256")).status_code == 200
    assert not visitor.is_signed_in


def test_a_session_of_somebody_else_is_not_ended_by_its_name(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    said = claims(independent, sid=Login.objects.get().sid, sub=BRUNO)
    assert tell(visitor, independent.sign(said, algorithm="ES256")).status_code == 200
    assert visitor.is_signed_in


def test_the_same_subject_at_another_issuer_stays(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    Login.objects.update(iss="https://else.example")
    assert tell(visitor, independent.sign(claims(independent), algorithm="ES256")).status_code == 200
    assert visitor.is_signed_in


def test_a_logout_of_somebody_who_is_not_here_is_fine(visitor: Visitor, independent: Independent) -> None:
    assert tell(visitor, independent.sign(claims(independent), algorithm="ES256")).status_code == 200
    assert not AuditEvent.objects.exists()


def test_a_ticket_of_the_session_is_worth_nothing_afterwards(
    visitor: Visitor, independent: Independent, heard: Any
) -> None:
    visitor.come_in(ALICE)
    assert visitor.session
    digest = sha256(visitor.session.encode()).hexdigest()
    facility = facilities.build()
    owner = User.objects.get(sub=ALICE)
    desk = facilities.instance(facility, owner, State.READY)
    before, after = (connect(desk.pk, acting_user=owner, app="desktop", session=digest).ticket for _ in range(2))
    visa = tickets.Visitor("127.0.0.1", "tests")
    assert tickets.redeem(before, app="desktop", broker="b", visitor=visa).session == digest
    assert [message["topic"] for message in heard()] == ["people"]  # somebody came
    tell(visitor, independent.sign(claims(independent), algorithm="ES256"))
    with pytest.raises(TicketRefused):
        tickets.redeem(after, app="desktop", broker="b", visitor=visa)
    assert heard()[0] == {"topic": "close", "session": digest, "reason": "signed out by the sign-in service"}


NOW = int(time.time())


@pytest.mark.parametrize(
    ("reason", "lie"),
    [
        ("issuer", {"iss": "https://evil.example"}),
        ("issuer", {"iss": None}),
        ("audience", {"aud": "another"}),
        ("audience", {"aud": ["another"]}),
        ("audience", {"aud": None}),
        ("nonce", {"nonce": "n"}),
        ("nonce", {"nonce": ""}),
        ("events", {"events": None}),
        ("events", {"events": {}}),
        ("events", {"events": [EVENT]}),
        ("events", {"events": {EVENT: True}}),
        ("time", {"iat": None}),
        ("time", {"iat": "now"}),
        ("time", {"iat": True}),
        ("stale", {"iat": NOW - 3600}),
        ("stale", {"iat": NOW + 3600}),
        ("stale", {"exp": NOW - 300}),
        ("jti", {"jti": None}),
        ("jti", {"jti": 7}),
        ("jti", {"jti": "x" * 256}),
        ("jti", {"jti": "a\0"}),
        ("subject", {"sub": None}),
        ("subject", {"sub": ["a"]}),
        ("subject", {"sid": "a\0"}),
    ],
    ids=str,
)
def test_a_token_that_is_signed_well_and_says_something_wrong_is_refused(
    visitor: Visitor, independent: Independent, reason: str, lie: Claims
) -> None:
    visitor.come_in(ALICE)
    not_heard(visitor, tell(visitor, independent.sign(claims(independent, **lie), algorithm="ES256")), reason)


@pytest.mark.parametrize("kind", ["logout+jwt", "application/logout+jwt", "JWT", None])
def test_a_logout_token_may_call_itself(visitor: Visitor, independent: Independent, kind: str | None) -> None:
    visitor.come_in(ALICE)
    assert tell(visitor, independent.sign(claims(independent), algorithm="ES256", typ=kind)).status_code == 200
    assert not visitor.is_signed_in


def test_a_token_of_another_kind_is_refused(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    not_heard(visitor, tell(visitor, independent.sign(claims(independent), algorithm="ES256", typ="at+jwt")), "type")


def by_another_key(real: Independent, said: Claims) -> str:
    return Independent(real.url, new_keys()).sign(said, algorithm="ES256", kid=real.keys["ES256"].kid)


def by_an_unknown_key(real: Independent, said: Claims) -> str:
    return Independent(real.url, new_keys()).sign(said, algorithm="RS256")


def altered(real: Independent, said: Claims) -> str:
    head, _, signature = real.sign(said | {"sub": BRUNO}, algorithm="ES256").split(".")
    return f"{head}.{real.sign(said, algorithm='ES256').split('.')[1]}.{signature}"


def unsigned(real: Independent, said: Claims) -> str:
    return "eyJhbGciOiJub25lIn0." + real.sign(said, algorithm="ES256").split(".")[1] + "."


@pytest.mark.parametrize("forge", [by_another_key, by_an_unknown_key, altered, unsigned, lambda *_: "no token"])
def test_a_forged_token_is_refused(
    visitor: Visitor, independent: Independent, forge: Callable[[Independent, Claims], str]
) -> None:
    visitor.come_in(ALICE)
    not_heard(visitor, tell(visitor, forge(independent, claims(independent))), "signature")
    assert not SpentLogout.objects.exists()


@pytest.mark.parametrize(
    "head",
    [
        b"[" * 300,
        b'{"alg":' + b"[" * 300,
        b"[]",
        b"null",
        b"\xff",
        b'{"alg":["ES256"]}',
        b'{"alg":{}}',
        b'{"alg":"ES256","kid":[]}',
        b'{"alg":"ES256","kid":{}}',
        b'{"alg":"ES256","kid":7}',
        b'{"alg":"ES256","crit":["exp"]}',
        b'{"alg":"ES256","crit":7}',
        b'{"alg":"ES256","b64":false,"crit":["b64"]}',
        b'{"alg":"dir","enc":"A128GCM"}',
        b'{"alg":"ES256","jwk":{}}',
    ],
    ids=lambda head: repr(head[:40]),
)
def test_nonsense_is_refused_like_any_forgery(visitor: Visitor, head: bytes) -> None:
    visitor.come_in(ALICE)
    start = base64.urlsafe_b64encode(head).decode().rstrip("=")
    for token in (f"{start}.e30.AAAA", f"{start}.a.b.c.d", f"{start}.\0.ü"):
        not_heard(visitor, tell(visitor, token), "signature")


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b"{", b"", b"[" * 20_000, b'{"iss":' + b"[" * 20_000])
def test_nonsense_with_a_good_signature_is_refused_too(visitor: Visitor, independent: Independent, body: bytes) -> None:
    visitor.come_in(ALICE)
    key = independent.keys["ES256"]
    token = jws.serialize_compact({"alg": "ES256", "kid": key.kid, "typ": "logout+jwt"}, body, key, ["ES256"])
    not_heard(visitor, tell(visitor, token), "signature")


def test_a_token_works_once(visitor: Visitor, independent: Independent) -> None:
    token = independent.sign(claims(independent), algorithm="ES256")
    assert tell(visitor, token).status_code == 200
    visitor.come_in(ALICE)
    not_heard(visitor, tell(visitor, token), "replayed")


def test_spent_tokens_are_forgotten_once_they_would_be_stale(visitor: Visitor, independent: Independent) -> None:
    tell(visitor, independent.sign(claims(independent, jti="old"), algorithm="ES256"))
    assert SpentLogout.objects.get().until > timezone.now()
    SpentLogout.objects.update(until=timezone.now())
    tell(visitor, independent.sign(claims(independent, jti="new"), algorithm="ES256"))
    assert list(SpentLogout.objects.values_list("jti", flat=True)) == ["new"]


def test_there_must_be_one_token_and_it_must_be_posted(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    token = independent.sign(claims(independent), algorithm="ES256")
    not_heard(visitor, tell(visitor), "request")
    not_heard(visitor, tell(visitor, token, token), "request")
    url = f"{visitor.portal}/sign-out/back-channel/"
    assert httpx2.get(url, params={"logout_token": token}).status_code == 405
    assert visitor.is_signed_in


def test_a_token_that_cannot_be_checked_is_not_believed(
    visitor: Visitor, independent: Independent, settings: Any
) -> None:
    visitor.come_in(ALICE)
    settings.OIDC = settings.OIDC | {"issuer": "http://localhost:9"}
    oidc_client._client.cache_clear()
    not_heard(visitor, tell(visitor, independent.sign(claims(independent), algorithm="ES256")), "unreachable")


def test_a_session_that_ended_is_not_written_back(visitor: Visitor, independent: Independent) -> None:
    """Whatever the browser does next with its cookie, the row stays gone."""
    visitor.come_in(ALICE)
    key = visitor.session
    tell(visitor, independent.sign(claims(independent), algorithm="ES256"))
    visitor.start()
    assert visitor.session != key
    assert not Session.objects.filter(session_key=key).exists()
