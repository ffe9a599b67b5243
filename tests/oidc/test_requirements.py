"""Who may sign in by the configuration: which identities, how sure of them, and with what kind of login."""

from typing import Any

import pytest

from auth.models import AuditEvent, User
from auth.oidc.claims import Identity
from auth.oidc.errors import LowAssurance, NotAdmitted, SignInFailed, WeakLogin
from auth.oidc.requirements import Requirements

from .conftest import query
from .independent import ALICE, BRUNO, MFA, RAF, Independent, Visitor

SFA = "https://refeds.org/profile/sfa"


def require(settings: Any, **conditions: list[str]) -> None:
    settings.OIDC_REQUIRES = {"acr": [], "assurance": [], "allowed": [], "refused": []} | conditions


def refused(visitor: Visitor, answer: Any, title: str, kind: str) -> None:
    assert answer.status_code == 403
    assert title in answer.text
    assert not visitor.is_signed_in
    event = AuditEvent.objects.get()
    assert (event.action, event.detail["kind"]) == ("session.refuse", kind)
    assert event.detail["reference"] in answer.text


def test_a_second_factor_lets_one_in_at_once(visitor: Visitor, settings: Any) -> None:
    require(settings, acr=[MFA])
    page = visitor.start("/experiments/")
    assert query(page)["acr_values"] == MFA
    assert "prompt" not in query(page)
    answer = visitor.http.get(visitor.log_in(page, ALICE, MFA))
    assert answer.headers["location"] == "/experiments/"
    assert AuditEvent.objects.get().detail["acr"] == MFA


@pytest.mark.parametrize("weak", ["", SFA])
def test_a_weak_login_is_asked_again_once_and_may_then_be_strong(visitor: Visitor, settings: Any, weak: str) -> None:
    require(settings, acr=[MFA])
    again = visitor.http.get(visitor.log_in(visitor.start("/experiments/"), ALICE, weak))
    page = again.headers["location"]
    assert again.status_code == 302
    assert (query(page)["prompt"], query(page)["acr_values"]) == ("login", MFA)
    assert not visitor.is_signed_in
    answer = visitor.http.get(visitor.log_in(page, ALICE, MFA))
    assert answer.headers["location"] == "/experiments/"
    assert visitor.is_signed_in
    assert [event.action for event in AuditEvent.objects.all()] == ["session.sign_in"]


def test_a_login_that_stays_weak_is_refused_with_a_page(visitor: Visitor, settings: Any) -> None:
    require(settings, acr=[MFA])
    again = visitor.come_in(ALICE, SFA).headers["location"]
    answer = visitor.http.get(visitor.log_in(again, ALICE, SFA))
    refused(visitor, answer, "A second factor is needed", "weaklogin")
    assert not User.objects.exists()


def test_any_of_the_kinds_that_are_listed_will_do(visitor: Visitor, settings: Any) -> None:
    require(settings, acr=[MFA, SFA])
    assert query(visitor.start())["acr_values"] == f"{MFA} {SFA}"
    visitor.come_in(ALICE, SFA)
    assert visitor.is_signed_in


def test_a_weak_login_ends_nothing_that_was_open(visitor: Visitor, settings: Any) -> None:
    visitor.come_in(ALICE)
    require(settings, acr=[MFA])
    visitor.http.get(visitor.log_in(visitor.come_in(ALICE, SFA).headers["location"], ALICE, SFA))
    assert visitor.is_signed_in


def test_enough_assurance_lets_one_in(visitor: Visitor, settings: Any) -> None:
    require(settings, assurance=[f"{RAF}/profile/cappuccino"])
    visitor.come_in(ALICE)
    assert visitor.is_signed_in


def test_too_little_assurance_is_refused_with_a_page(visitor: Visitor, settings: Any, independent: Independent) -> None:
    user = User.objects.create(iss=independent.url, sub=BRUNO, username="b", name="Bruno")
    require(settings, assurance=[f"{RAF}/profile/cappuccino"])
    title = "Your organisation has not confirmed who you are"
    refused(visitor, visitor.come_in(BRUNO), title, "lowassurance")
    event = AuditEvent.objects.get()
    assert event.target == f"user:{user.pk}"
    assert event.because == f"the assurance lacks {RAF}/profile/cappuccino"


def test_a_refused_identity_is_refused_with_a_page(visitor: Visitor, settings: Any) -> None:
    require(settings, refused=[BRUNO])
    refused(visitor, visitor.come_in(BRUNO), "This identity cannot be used here", "notadmitted")


def test_an_identity_that_is_not_allowed_is_refused_with_a_page(visitor: Visitor, settings: Any) -> None:
    require(settings, allowed=["@else.example"])
    refused(visitor, visitor.come_in(ALICE), "This identity cannot be used here", "notadmitted")


def someone(sub: str, **fields: Any) -> Identity:
    return Identity(iss="https://login.example.org", sub=sub, **fields)


@pytest.mark.parametrize(
    ("conditions", "identity", "error"),
    [
        ({}, someone("a"), None),
        ({"allowed": ("@myaccessid.org",)}, someone("A1@MyAccessID.org"), None),
        ({"allowed": ("a1@myaccessid.org",)}, someone("A1@myaccessid.org"), None),
        ({"allowed": ("a1@myaccessid.org",)}, someone("b2@myaccessid.org"), NotAdmitted),
        ({"allowed": ("@myaccessid.org",)}, someone("a@evil.myaccessid.org"), NotAdmitted),
        ({"allowed": ("@myaccessid.org",)}, someone("a@myaccessid.org@evil.example"), NotAdmitted),
        ({"allowed": ("@myaccessid.org",)}, someone("myaccessid.org"), NotAdmitted),
        ({"allowed": ("@myaccessid.org",), "refused": ("a@myaccessid.org",)}, someone("a@myaccessid.org"), NotAdmitted),
        ({"refused": ("@test.example",)}, someone("a@test.example"), NotAdmitted),
        ({"refused": ("t@x.example",)}, someone("other", voperson_id="T@x.example"), NotAdmitted),
        ({"refused": ("a",)}, someone("ab"), None),
        ({"assurance": ("x", "y")}, someone("a", assurance=("y",)), LowAssurance),
        ({"assurance": ("x", "y")}, someone("a", assurance=("z", "y", "x")), None),
        ({"acr": (MFA,)}, someone("a", acr=MFA + "/"), WeakLogin),
        ({"acr": (MFA,), "assurance": ("x",)}, someone("a"), LowAssurance),
    ],
    ids=str,
)
def test_conditions_and_identities(
    conditions: dict[str, tuple[str, ...]], identity: Identity, error: type[SignInFailed] | None
) -> None:
    requirements = Requirements(**conditions)
    if error is None:
        return requirements.check(identity)
    with pytest.raises(error):
        requirements.check(identity)
