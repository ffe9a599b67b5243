"""Unix ids that a provider asserts: believed once, for somebody new, where nobody else has them."""

import json
from typing import Any

import pytest
from django.utils import timezone

from auth.models import AuditEvent, User
from auth.oidc.demo_provider.people import Person

from .conftest import Browser, Wire

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def says(wire: Wire, portal: str, settings: Any) -> Any:
    settings.OIDC = settings.OIDC | {"uid_claim": "uidNumber", "username_claim": "voperson_login"}

    def say(**claims: Any) -> None:
        wire.faults["/userinfo"] = lambda body: json.dumps(json.loads(body) | claims).encode()

    return say


def refusals() -> list[tuple[str, Any]]:
    events = AuditEvent.objects.filter(action="identity.uid_refused")
    return [(event.because, event.detail["said"]) for event in events]


@pytest.mark.parametrize("claim", [70001, "70001", ["70001"]])
def test_somebody_new_gets_the_uid_and_the_name_that_are_asserted(
    browser: Browser, people: dict[str, Person], says: Any, claim: Any
) -> None:
    says(uidNumber=claim, voperson_login="inesc")
    browser.sign_in(people["Inês"])
    user = User.objects.get()
    assert (user.uid, user.username) == (70001, "inesc")
    browser.sign_in(people["Inês"])
    assert refusals() == []


def test_somebody_whom_only_a_catalogue_knew_gets_it_too(
    browser: Browser, people: dict[str, Person], says: Any, wire: Wire
) -> None:
    User.objects.create(iss=wire.url, sub=people["Inês"].sub, username="i", name="I")
    says(uidNumber=70001)
    browser.sign_in(people["Inês"])
    assert User.objects.get().uid == 70001


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("0", "range"),
        ("999", "range"),
        ("20005", "range"),
        ("4294967295", "range"),
        ("-1", "no number"),
        ("7e4", "no number"),
        ("٧٠٠٠١", "no number"),
        ("99999999999", "no number"),
        ("80000", "somebody else's"),
    ],
)
def test_what_cannot_be_is_refused_and_recorded_once(
    browser: Browser, people: dict[str, Person], says: Any, said: str, because: str
) -> None:
    User.objects.create(iss="x", sub="y", username="y", name="Y", uid=80000)
    says(uidNumber=said)
    browser.sign_in(people["Inês"])
    user = User.objects.get(sub=people["Inês"].sub)
    assert 20000 <= user.uid <= 59999
    browser.sign_in(people["Inês"])
    ((reason, told),) = refusals()
    assert because in reason
    assert told == said


def test_somebody_who_was_here_keeps_theirs(browser: Browser, people: dict[str, Person], says: Any, wire: Wire) -> None:
    sub = people["Inês"].sub
    user = User.objects.create(iss=wire.url, sub=sub, username="i", name="I", proven_at=timezone.now())
    says(uidNumber="70001")
    browser.sign_in(people["Inês"])
    assert User.objects.get().uid == user.uid
    assert refusals() == [("the account has been used with another one", "70001")]


def test_what_the_catalogue_asserted_outweighs_the_claim(
    browser: Browser, people: dict[str, Person], says: Any, wire: Wire
) -> None:
    User.objects.create(iss=wire.url, sub=people["Inês"].sub, username="i", name="I", uid=75000)
    says(uidNumber="70001")
    browser.sign_in(people["Inês"])
    assert User.objects.get().uid == 75000
    assert refusals() == [("the account has another one from the facility", "70001")]
