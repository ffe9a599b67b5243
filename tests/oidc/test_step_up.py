"""A fresh login on demand: who confirmed, how, and when; and what somebody without one is told."""

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from rest_framework.test import APIRequestFactory

from auth.models import ApiToken, AuditEvent, Login, User
from auth.oidc import step_up
from tests import facility as facilities
from tests.fresh import freshen
from visa import problems, urls

from .conftest import query
from .independent import ALICE, BRUNO, MFA, Independent, Visitor

pytestmark = pytest.mark.django_db(transaction=True)
SFA = "https://refeds.org/profile/sfa"
DONE = "it is done"


@step_up.fresh_login(reason="to try this out")
def guarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse(DONE)


urlpatterns = [path("guarded/", guarded), *urls.urlpatterns]


@pytest.fixture(autouse=True)
def _with_a_guarded_page(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }


@pytest.fixture
def client() -> Client:
    user = facilities.person("ada", "Ada Lind")
    found = Client(headers={"host": "localhost"})
    found.force_login(get_user_model().objects.get(pk=user.pk))
    return found


def confirm(visitor: Visitor, sub: str, acr: str = MFA) -> Any:
    """Ask for the guarded page and log in again where it leads; the answer of the callback."""
    visitor.forget_provider()
    page = visitor.http.get(f"{visitor.portal}/guarded/").headers["location"]
    explained = visitor.http.get(visitor.portal + page)
    assert "You want to try this out." in explained.text
    start = visitor.http.get(f"{visitor.portal}{page.replace('/confirm/', '/confirm/start/')}")
    asked = query(start.headers["location"])
    assert (asked["prompt"], asked["max_age"], asked["acr_values"]) == ("login", "0", MFA)
    return visitor.http.get(visitor.log_in(start.headers["location"], sub, acr))


def test_a_page_leads_to_a_fresh_login_and_back(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    before = visitor.session
    answer = confirm(visitor, ALICE)
    assert (answer.status_code, answer.headers["location"]) == (302, "/guarded/")
    assert visitor.http.get(f"{visitor.portal}/guarded/").text == DONE
    assert visitor.session == before, "live desktops are bound to the session's key"
    assert Login.objects.get().session_id == before
    event = AuditEvent.objects.get(action="session.confirm")
    assert event.target == f"user:{User.objects.get().pk}"
    assert event.detail["acr"] == MFA


def test_the_session_alone_is_not_enough(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    confirm(visitor, ALICE)
    stolen = {"Cookie": f"visa_session={visitor.session}"}
    visitor.http.cookies.clear()
    assert visitor.http.get(f"{visitor.portal}/guarded/", headers=stolen).status_code == 302


def test_a_login_without_the_second_factor_is_told_so(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    answer = confirm(visitor, ALICE, SFA)
    assert answer.status_code == 403
    assert "A second factor is needed for this" in answer.text
    assert "still signed in" in answer.text
    event = AuditEvent.objects.get(action="session.confirm_refuse")
    assert event.detail["kind"] == "weakconfirmation"
    assert event.detail["reference"] in answer.text
    assert visitor.is_signed_in
    assert visitor.http.get(f"{visitor.portal}/guarded/").status_code == 302


def test_somebody_else_s_login_confirms_nothing(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    answer = confirm(visitor, BRUNO)
    assert answer.status_code == 403
    assert "That was somebody else" in answer.text
    assert not User.objects.filter(sub=BRUNO).exists()
    assert visitor.is_signed_in
    assert AuditEvent.objects.get(action="session.confirm_refuse").detail["kind"] == "anotherperson"


def test_another_identity_of_the_same_person_will_do(visitor: Visitor, independent: Independent) -> None:
    visitor.come_in(ALICE)
    alice = User.objects.get()
    User.objects.create(iss=independent.url, sub=BRUNO, username="b", name="Alice too", linked_to=alice)
    assert confirm(visitor, BRUNO).headers["location"] == "/guarded/"
    assert visitor.http.get(f"{visitor.portal}/guarded/").text == DONE


def test_an_answer_that_comes_after_the_session_became_another_s_is_refused(visitor: Visitor) -> None:
    visitor.come_in(ALICE)
    page = visitor.http.get(f"{visitor.portal}/account/confirm/start/").headers["location"]
    callback = visitor.log_in(page, ALICE, MFA)
    login = Login.objects.get()
    bruno = User.objects.create(iss="https://else.example", sub="b", username="b", name="B")
    client = Client()
    client.force_login(bruno)
    kept = Session.objects.get(session_key=login.session_id).get_decoded()["sign_in"]
    session = client.session
    session["sign_in"] = kept
    session.save()
    visitor.http.cookies.clear()
    visitor.http.cookies.set("visa_session", session.session_key, domain="localhost.local")
    answer = visitor.http.get(callback, headers={"Cookie": f"visa_session={session.session_key}"})
    assert answer.status_code == 400
    assert step_up.KEPT not in client.session


def test_a_sign_in_with_a_second_factor_counts_from_when_it_was_made(visitor: Visitor, settings: Any) -> None:
    settings.OIDC_REQUIRES = settings.OIDC_REQUIRES | {"acr": [MFA]}
    first = visitor.come_in(ALICE).headers["location"]
    visitor.http.get(visitor.log_in(first, ALICE, MFA))
    assert visitor.http.get(f"{visitor.portal}/guarded/").text == DONE, "it was asked for a new login"


def test_it_lasts_for_a_while_and_a_weaker_one_does_not_count(client: Client) -> None:
    assert client.get("/guarded/").status_code == 302
    freshen(client)
    assert client.get("/guarded/").content.decode() == DONE
    freshen(client, seconds_ago=601)
    assert client.get("/guarded/").status_code == 302
    freshen(client, seconds_ago=-5)
    assert client.get("/guarded/").status_code == 302, "nobody confirms in the future"
    freshen(client, acr=SFA)
    assert client.get("/guarded/").status_code == 302


def test_any_fresh_login_will_do_where_no_kind_is_asked_for(client: Client, settings: Any) -> None:
    settings.STEP_UP = {"minutes": 1, "acr": []}
    freshen(client, acr="")
    assert client.get("/guarded/").content.decode() == DONE
    freshen(client, acr="", seconds_ago=61)
    assert client.get("/guarded/").status_code == 302


def test_a_form_gets_a_page_with_the_way(client: Client) -> None:
    answer = client.post("/guarded/", headers={"referer": "http://localhost/roles/?page=2"})
    assert answer.status_code == 403
    text = answer.content.decode()
    assert "Confirm that it is you to try this out" in text
    assert "Nothing has been done yet" in text
    assert "next=%2Froles%2F%3Fpage%3D2" in text
    foreign = client.post("/guarded/", headers={"referer": "https://evil.example/x"})
    assert "evil" not in foreign.content.decode()


def test_a_script_is_sent_there_and_a_program_gets_a_problem(client: Client) -> None:
    answer = client.post("/guarded/", headers={"hx-request": "true", "hx-current-url": "http://localhost/here/"})
    assert answer.status_code == 403
    assert answer.headers["HX-Redirect"].startswith("/account/confirm/?next=%2Fhere%2F&")
    answer = client.post("/guarded/", headers={"accept": "application/json"})
    said = json.loads(answer.content)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert (said["status"], said["reason"]) == (403, "fresh_login_needed")
    assert said["confirm"].startswith("/account/confirm/?")


def test_whoever_is_signed_out_is_sent_to_sign_in(client: Client) -> None:
    client.logout()
    assert client.get("/guarded/?a=1").headers["location"] == "/sign-in/?next=/guarded/%3Fa%3D1"


def test_nobody_can_put_words_on_the_page(client: Client) -> None:
    signed = step_up.Demand.of("to try this out").signed()
    assert "try this out" in client.get("/account/confirm/", {"why": signed}).content.decode()
    for wrong in ("to give us your password", signed[:-2], signed.replace(":", ":x", 1)):
        text = client.get("/account/confirm/", {"why": wrong, "next": "//evil.example"}).content.decode()
        assert "You want" not in text
        assert "evil" not in text


def test_a_token_never_confirms(client: Client) -> None:
    request: Any = APIRequestFactory().post("/")
    request.user, request.session = User.objects.get(), client.session
    request.auth = ApiToken(user=request.user, name="t")
    freshen(client)
    request.session = client.session
    request.COOKIES[step_up.COOKIE] = "a cookie of the tests"
    with pytest.raises(step_up.StepUpNeeded) as raised:
        step_up.require_fresh(request, reason="to try this out")
    answer = problems.handler(raised.value, {})
    assert answer is not None
    assert (answer.status_code, answer.data["reason"]) == (403, "token_cannot_confirm")
    request.auth = None
    step_up.require_fresh(request, reason="to try this out")


def test_a_program_with_a_session_is_told_where_to_confirm(client: Client) -> None:
    request: Any = RequestFactory().post("/")
    request.user, request.session = User.objects.get(), client.session
    with pytest.raises(step_up.StepUpNeeded) as raised:
        step_up.require_fresh(request, reason="to try this out")
    answer = problems.handler(raised.value, {})
    assert answer is not None
    assert answer.data["reason"] == "fresh_login_needed"
    assert answer.data["confirm"].startswith("/account/confirm/?")
