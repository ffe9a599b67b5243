"""Two identities of one person: only after a login of each, and apart again without losing anything."""

import secrets
import time
from typing import Any

import httpx2
import pytest
from django.contrib.sessions.models import Session

from auth import rights
from auth.access import Role
from auth.data import Part
from auth.digests import session_digest
from auth.models import AuditEvent, Login, Participation, RoleGrant, User
from auth.oidc import link as linking
from auth.oidc.demo_provider.people import Person
from instances.services.experiments import my_experiments
from tests import facility as facilities

from .conftest import query
from .independent import ALICE, BRUNO, Independent, Visitor

pytestmark = pytest.mark.django_db(transaction=True)
Told = list[tuple[frozenset[int], str]]


@pytest.fixture
def told() -> Any:
    """Whose rights were announced to have changed."""
    heard: Told = []

    def listen(sender: Any, users: frozenset[int], because: str, **kwargs: Any) -> None:
        heard.append((users, because))

    rights.changed.connect(listen)
    yield heard
    rights.changed.disconnect(listen)


def start(visitor: Visitor, further: dict[str, Any]) -> httpx2.Response:
    key = further["issuer"].removeprefix("http://").replace(":", "-")
    return visitor.http.get(f"{visitor.portal}/account/link/start/", params={"provider": key})


def prove(visitor: Visitor, further: dict[str, Any], sub: str) -> httpx2.Response:
    """Log in with the second identity; the answer of the callback."""
    asked = start(visitor, further)
    assert query(asked.headers["location"])["prompt"] == "login"
    return visitor.http.get(visitor.log_in(asked.headers["location"], sub))


def post(visitor: Visitor, path: str, **form: str) -> httpx2.Response:
    token = secrets.token_hex(16)
    kept = {cookie.name: cookie.value for cookie in visitor.http.cookies.jar} | {"visa_csrf": token}
    cookies = "; ".join(f"{name}={value}" for name, value in kept.items())
    data = {"csrfmiddlewaretoken": token} | form
    return visitor.http.post(visitor.portal + path, data=data, headers={"Cookie": cookies})


def link(visitor: Visitor, further: dict[str, Any], sub: str = ALICE) -> httpx2.Response:
    assert prove(visitor, further, sub).headers["location"] == "/account/link/confirm/"
    return post(visitor, "/account/link/confirm/", link="yes")


def row(sub: str, independent: Independent) -> User:
    return User.objects.get(iss=independent.url, sub=sub)


def test_both_are_shown_and_linked_once_the_person_says_so(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent, told: Told
) -> None:
    double.sign_in(people["Inês"])
    me = User.objects.get()
    assert prove(double, further, ALICE).headers["location"] == "/account/link/confirm/"
    assert double.is_signed_in, "the session of the first goes on"
    assert not User.objects.exclude(pk=me.pk).exists(), "nothing has happened yet"
    page = double.http.get(f"{double.portal}/account/link/confirm/").text
    for shown in ("Inês Carvalho", "Alice Moreau", "UmbrellaID", "MyAccessID", ALICE, people["Inês"].sub):
        assert shown in page
    assert post(double, "/account/link/confirm/", link="yes").headers["location"] == "/account/"
    alice = row(ALICE, independent)
    assert alice.linked_to == me
    assert alice.linked_at is not None
    events = AuditEvent.objects.filter(action="identity.link")
    assert {event.target for event in events} == {f"user:{me.pk}", f"user:{alice.pk}"}
    assert {event.actor_id for event in events} == {me.pk}
    assert told == [(frozenset({me.pk, alice.pk}), "an identity was linked to your account")]
    page = double.http.get(f"{double.portal}/account/").text
    assert "UmbrellaID" in page
    assert f"/account/identities/{alice.pk}/unlink/" in page


def test_leaving_them_apart_changes_nothing(
    double: Visitor, further: dict[str, Any], people: dict[str, Person]
) -> None:
    double.sign_in(people["Inês"])
    prove(double, further, ALICE)
    assert post(double, "/account/link/confirm/", leave="yes").status_code == 302
    assert User.objects.count() == 1
    answer = post(double, "/account/link/confirm/", link="yes")
    assert (answer.status_code, "This took too long" in answer.text) == (409, True)
    assert User.objects.count() == 1


def test_signing_in_with_the_second_opens_the_first_s_account(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    double.sign_in(people["Inês"])
    me = User.objects.get()
    link(double, further)
    with httpx2.Client() as http:
        other = Visitor(double.portal, http)
        key = independent.url.removeprefix("http://").replace(":", "-")
        asked = other.http.get(f"{other.portal}/sign-in/start/", params={"provider": key}).headers["location"]
        callback = other.log_in(asked, ALICE)
        assert f"/sign-in/callback/{key}/" in callback
        other.http.get(callback)
        login = Login.objects.get(session_id=other.session)
        assert (login.user, login.identity, login.iss, login.sub) == (
            me,
            row(ALICE, independent),
            independent.url,
            ALICE,
        )
        assert "Inês Carvalho" in other.http.get(f"{other.portal}/account/").text
        now = int(time.time())
        said = {"iss": independent.url, "aud": "portal-ES256", "iat": now, "exp": now + 60, "jti": "a", "sub": ALICE}
        said["events"] = {"http://schemas.openid.net/event/backchannel-logout": {}}
        token = independent.sign(said, algorithm="ES256")
        assert httpx2.post(f"{double.portal}/sign-out/back-channel/", data={"logout_token": token}).status_code == 200
        assert (other.is_signed_in, double.is_signed_in) == (False, True), "what began with the other one goes on"


def test_a_participation_that_a_catalogue_knows_counts_from_the_moment_of_linking(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    facility = facilities.build()
    never_here = User.objects.create(iss=independent.url, sub=ALICE, username="alice", name="A. Moreau")
    Participation.objects.create(user=never_here, experiment=facility.running, part=Part.PARTICIPANT, source="x")
    double.sign_in(people["Inês"])
    me = User.objects.get(sub=people["Inês"].sub)
    assert facility.running not in my_experiments(acting_user=me)
    link(double, further)
    assert facility.running in my_experiments(acting_user=me)
    assert "HC-1" in double.http.get(f"{double.portal}/account/").text
    linking.unlink(acting_user=me, identity_id=never_here.pk)
    assert facility.running not in my_experiments(acting_user=me)
    assert Participation.objects.get(experiment=facility.running, user=never_here)


def test_unlinking_ends_what_began_with_it_and_gives_back_what_came_with_it(
    double: Visitor,
    further: dict[str, Any],
    people: dict[str, Person],
    independent: Independent,
    told: Told,
    heard: Any,
) -> None:
    double.sign_in(people["Inês"])
    me = User.objects.get()
    link(double, further)
    alice = row(ALICE, independent)
    RoleGrant.objects.create(user=alice, role=Role.AUDITOR, because="b", source="person:1")
    assert me.as_actor().has(Role.AUDITOR)
    with httpx2.Client() as http:
        other = Visitor(double.portal, http)
        key = independent.url.removeprefix("http://").replace(":", "-")
        asked = other.http.get(f"{other.portal}/sign-in/start/", params={"provider": key}).headers["location"]
        other.http.get(other.log_in(asked, ALICE))
        ended = other.session
        assert "Goes" in double.http.get(f"{double.portal}/account/identities/{alice.pk}/unlink/").text
        answer = post(double, f"/account/identities/{alice.pk}/unlink/")
        assert answer.headers["location"] == "/account/"
        assert (other.is_signed_in, double.is_signed_in) == (False, True)
    closed = {"topic": "close", "session": session_digest(ended), "reason": "this identity was unlinked"}
    assert [message for message in heard() if message["topic"] == "close"] == [closed]
    alice.refresh_from_db()
    assert (alice.linked_to, alice.linked_at) == (None, None)
    assert not me.as_actor().has(Role.AUDITOR)
    assert alice.as_actor().has(Role.AUDITOR)
    assert AuditEvent.objects.filter(action="identity.unlink").count() == 2
    assert told[-1][0] == {me.pk, alice.pk}


def test_unlinking_the_one_of_this_session_ends_it(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    double.sign_in(people["Inês"])
    link(double, further)
    alice = row(ALICE, independent)
    Login.objects.update(identity=alice)
    assert "also this one" in double.http.get(f"{double.portal}/account/identities/{alice.pk}/unlink/").text
    assert post(double, f"/account/identities/{alice.pk}/unlink/").headers["location"] == "/sign-in/"
    assert not double.is_signed_in
    assert not Login.objects.exists()


def test_nobody_unlinks_what_is_not_theirs(double: Visitor, people: dict[str, Person]) -> None:
    facility = facilities.build()
    other = User.objects.create(iss="x", sub="y", username="y", name="Y", linked_to=facility.bob)
    double.sign_in(people["Inês"])
    me = User.objects.get(sub=people["Inês"].sub)
    for pk in (other.pk, facility.ada.pk, me.pk, 10**9):
        assert double.http.get(f"{double.portal}/account/identities/{pk}/unlink/").status_code == 404
        assert post(double, f"/account/identities/{pk}/unlink/").status_code == 404
    other.refresh_from_db()
    assert other.linked_to == facility.bob


def test_a_login_of_long_ago_has_to_be_made_anew_first(
    double: Visitor, further: dict[str, Any], people: dict[str, Person]
) -> None:
    double.sign_in(people["Inês"])
    session = Session.objects.get()
    kept = session.get_decoded()
    kept["confirmed"]["at"] -= 301
    session.session_data = Session.objects.encode(kept)
    session.save()
    asked = start(double, further).headers["location"]
    assert asked.startswith("/account/confirm/?next=%2Faccount%2Flink%2Fstart%2F%3Fprovider%3D")
    page = double.http.get(double.portal + asked).text
    assert "You want to link another identity." in page
    assert "second factor" not in page, "any fresh login will do for this"
    again = double.http.get(double.portal + asked.replace("/confirm/?", "/confirm/start/?")).headers["location"]
    back = double.http.get(double.choose(again, people["Inês"])).headers["location"]
    assert back.startswith("/account/link/start/?provider=")
    assert double.http.get(double.portal + back).headers["location"].startswith(further["issuer"])


def test_the_proof_of_the_second_is_good_for_ten_minutes(
    double: Visitor, further: dict[str, Any], people: dict[str, Person]
) -> None:
    double.sign_in(people["Inês"])
    prove(double, further, ALICE)
    session = Session.objects.get()
    kept = session.get_decoded()
    kept["link"]["at"] -= 601
    session.session_data = Session.objects.encode(kept)
    session.save()
    assert double.http.get(f"{double.portal}/account/link/confirm/").status_code == 409
    assert post(double, "/account/link/confirm/", link="yes").status_code == 409
    assert User.objects.count() == 1


def refused(double: Visitor, answer: httpx2.Response, title: str, kind: str) -> None:
    assert answer.status_code in (403, 409), answer.text
    assert title in answer.text
    assert "still signed in" in answer.text
    assert double.is_signed_in
    event = AuditEvent.objects.get(action="identity.link_refuse")
    assert event.detail["kind"] == kind
    assert event.detail["reference"] in answer.text
    assert not AuditEvent.objects.filter(action="identity.link").exists()


def test_the_same_identity_again_is_refused(double: Visitor, people: dict[str, Person]) -> None:
    double.sign_in(people["Inês"])
    asked = double.http.get(f"{double.portal}/account/link/start/").headers["location"]
    answer = double.http.get(double.choose(asked, people["Inês"]))
    refused(double, answer, "This identity is yours already", "sameidentity")


def test_another_person_of_the_same_provider_can_be_linked(double: Visitor, people: dict[str, Person]) -> None:
    double.sign_in(people["Inês"])
    asked = double.http.get(f"{double.portal}/account/link/start/").headers["location"]
    double.http.get(double.choose(asked, people["Bruno"]))
    post(double, "/account/link/confirm/", link="yes")
    assert User.objects.get(sub=people["Bruno"].sub).linked_to == User.objects.get(sub=people["Inês"].sub)


def test_a_provider_that_ends_the_first_login_for_the_second_is_explained(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    page = visitor.http.get(f"{visitor.portal}/account/link/start/").headers["location"]
    asked = visitor.http.get(visitor.portal + page.replace("/confirm/?", "/confirm/start/?")).headers["location"]
    back = visitor.http.get(visitor.log_in(asked, ALICE)).headers["location"]
    asked = visitor.http.get(visitor.portal + back).headers["location"]
    answer = visitor.http.get(visitor.log_in(asked, BRUNO))
    assert answer.status_code == 409
    assert "Your first login has ended" in answer.text
    assert not visitor.is_signed_in, "its back-channel logout was heard"
    assert not User.objects.filter(sub=BRUNO).exists()


def test_one_that_is_linked_to_somebody_else_is_refused(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    other = facilities.person("ada", "Ada")
    User.objects.create(iss=independent.url, sub=ALICE, username="a", name="A", linked_to=other)
    double.sign_in(people["Inês"])
    refused(double, prove(double, further, ALICE), "belongs to another account", "linkedelsewhere")


def test_a_blocked_one_is_refused(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    User.objects.create(iss=independent.url, sub=ALICE, username="a", name="A", is_active=False)
    double.sign_in(people["Inês"])
    refused(double, prove(double, further, ALICE), "A blocked account cannot be linked", "linkblocked")


def test_the_main_one_of_others_is_refused_with_the_way_out(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    alice = User.objects.create(iss=independent.url, sub=ALICE, username="a", name="A")
    User.objects.create(iss="https://x.example", sub="x", username="x", name="X", linked_to=alice)
    double.sign_in(people["Inês"])
    answer = prove(double, further, ALICE)
    refused(double, answer, "This identity has others linked to it", "hasidentities")
    assert "unlink the others there" in answer.text


def test_a_provider_that_does_not_ask_anew_is_not_believed(
    double: Visitor, people: dict[str, Person], wire: Any, key: Any
) -> None:
    from .test_faults import decoded, id_token, signed

    double.sign_in(people["Inês"])
    asked = double.http.get(f"{double.portal}/account/link/start/").headers["location"]
    wire.faults["/token"] = id_token(lambda token: signed(decoded(token) | {"auth_time": int(time.time()) - 900}, key))
    answer = double.http.get(double.choose(asked, people["Bruno"]))
    assert answer.status_code == 403
    assert "You were not asked to log in again" in answer.text
    assert User.objects.count() == 1


def test_blocking_any_identity_closes_every_door(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    double.sign_in(people["Inês"])
    link(double, further)
    User.objects.filter(sub=ALICE).update(is_active=False)
    assert not double.is_signed_in
    assert "Your account is blocked" in double.sign_in(people["Inês"]).text


def test_a_second_identity_of_somebody_blocked_is_no_way_in(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    double.sign_in(people["Inês"])
    link(double, further)
    User.objects.filter(sub=people["Inês"].sub).update(is_active=False)
    key = independent.url.removeprefix("http://").replace(":", "-")
    asked = double.http.get(f"{double.portal}/sign-in/start/", params={"provider": key}).headers["location"]
    answer = double.http.get(double.log_in(asked, ALICE))
    assert (answer.status_code, "Your account is blocked" in answer.text) == (403, True)


def test_an_answer_at_another_provider_s_address_is_refused(
    double: Visitor, further: dict[str, Any], people: dict[str, Person], independent: Independent
) -> None:
    key = independent.url.removeprefix("http://").replace(":", "-")
    asked = double.http.get(f"{double.portal}/sign-in/start/", params={"provider": key}).headers["location"]
    answer = double.http.get(double.log_in(asked, ALICE).replace(f"/callback/{key}/", "/callback/"))
    assert (answer.status_code, double.is_signed_in) == (403, False)
    mixed = double.choose(double.start(), people["Inês"]).replace("/callback/?", f"/callback/{key}/?")
    assert double.http.get(mixed).status_code == 403
    assert not double.is_signed_in


def test_a_provider_that_is_for_linking_only_opens_no_session(
    double: Visitor, further: dict[str, Any], settings: Any, tmp_path: Any
) -> None:
    import json

    page = double.http.get(f"{double.portal}/sign-in/").text
    assert page.count("btn-primary") == 1
    assert "Sign in with UmbrellaID" in page
    (tmp_path / "only.json").write_text(json.dumps([further | {"sign_in": False}]))
    settings.OIDC_MORE = str(tmp_path / "only.json")
    assert "UmbrellaID" not in double.http.get(f"{double.portal}/sign-in/").text
    key = further["issuer"].removeprefix("http://").replace(":", "-")
    assert double.http.get(f"{double.portal}/sign-in/start/", params={"provider": key}).status_code == 404
