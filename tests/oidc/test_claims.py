"""Every shape in which a provider may say who somebody is."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth.oidc.claims import MFA, ClaimsRefused, Entitlement, Identity, identity, many, one, parse_entitlement

TOKEN = {"iss": "https://proxy.example.org", "sub": "abc@example.org"}
GROUP = "urn:geant:example.org:group:amber fossils:imaging:role=manager#aai.example.org"

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = ["name", "given_name", "family_name", "email", "mail", "email_verified", "preferred_username", "acr"]
NAMES += ["entitlements", "eduperson_entitlement", "eduperson_assurance", "schac_home_organization", "voperson_id"]
claims = st.dictionaries(st.sampled_from(NAMES), anything, max_size=6)


def made(userinfo: dict[str, Any] | None = None, **token: Any) -> Identity:
    return identity(TOKEN | token, {"sub": TOKEN["sub"]} | (userinfo or {}))


@calm
@given(
    token=st.dictionaries(st.sampled_from(NAMES), anything), userinfo=st.dictionaries(st.sampled_from(NAMES), anything)
)
def test_whatever_is_claimed_becomes_clean_text_of_the_same_subject(
    token: dict[str, Any], userinfo: dict[str, Any]
) -> None:
    who = made(userinfo, **token)
    assert (who.iss, who.sub) == (TOKEN["iss"], TOKEN["sub"])
    for text in (who.name, who.email, who.affiliation, who.acr, *who.entitlements, *who.assurance):
        assert isinstance(text, str)
        assert text == text.strip()
        assert "\0" not in text
        text.encode()


@calm
@given(iss=anything, sub=anything, about=anything)
def test_a_subject_that_is_no_text_or_not_the_same_twice_is_refused(iss: Any, sub: Any, about: Any) -> None:
    try:
        who = identity({"iss": iss, "sub": sub}, {"sub": about})
    except ClaimsRefused:
        return
    assert (who.iss, who.sub) == (iss, sub)
    assert sub == about


@pytest.mark.parametrize("sub", ["", "  ", None, 7, ["a"], "a\0b", "a\u202eb", "x" * 256])
def test_a_subject_that_cannot_be_a_key_is_refused(sub: Any) -> None:
    with pytest.raises(ClaimsRefused):
        identity(TOKEN | {"sub": sub}, {"sub": sub})


@calm
@given(value=st.text("abc:#= ", min_size=1))
def test_a_bare_string_means_the_same_as_a_list_of_one(value: str) -> None:
    assert many({"x": value}, "x") == many({"x": [value]}, "x")
    assert one({"x": value}, "x") == one({"x": [value]}, "x")


@pytest.mark.parametrize("name", ["entitlements", "eduperson_entitlement", "eduPersonEntitlement"])
@pytest.mark.parametrize("value", [GROUP, [GROUP], [GROUP, GROUP]])
def test_entitlements_are_found_under_each_of_their_names(name: str, value: Any) -> None:
    assert made({name: value}).entitlements == (GROUP,)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (GROUP, Entitlement("urn:geant:example.org", ("amber fossils", "imaging"), "manager", "aai.example.org")),
        ("urn:mace:x:group:a", Entitlement("urn:mace:x", ("a",))),
        ("urn:x:y:group:a:role=b", Entitlement("urn:x:y", ("a",), "b")),
        ("urn:x:y:group:role=b", Entitlement("urn:x:y", ("role=b",))),
        ("urn:x:y:group:a::b", None),
        ("urn:x:y:group:", None),
        ("https://example.org/group:a", None),
        ("urn:x:y:res:a", None),
    ],
)
def test_groups_are_read_from_entitlements(value: str, parsed: Entitlement | None) -> None:
    assert parse_entitlement(value) == parsed


@calm
@given(st.text())
def test_no_text_breaks_the_parsing_of_entitlements(value: str) -> None:
    parse_entitlement(value)
    parse_entitlement("urn:x:group:" + value)


@pytest.mark.parametrize(("acr", "is_second"), [(MFA, True), ([MFA], True), ("0", False), (0, False), (None, False)])
def test_a_second_factor_counts_only_when_it_is_said(acr: Any, is_second: bool) -> None:
    assert made(acr=acr).second_factor is is_second
    assert made(acr="0").acr == ""


def test_how_they_proved_it_is_taken_from_the_signed_token_alone() -> None:
    assert not made({"acr": MFA}).second_factor


def test_userinfo_wins_where_both_speak_unless_it_has_nothing_to_say() -> None:
    assert made({"name": "Inês"}, name="I.").name == "Inês"
    assert made({"name": "", "email": None}, name="I.", email="i@example.org").name == "I."
    assert made({"given_name": "Inês", "family_name": "Carvalho"}).name == "Inês Carvalho"


def test_the_home_organisation_is_named_as_well_as_possible() -> None:
    assert made({"schac_home_organization": ["uc.example"]}).affiliation == "uc.example"
    assert made({"eduperson_scoped_affiliation": "member@uc.example"}).affiliation == "uc.example"
    assert made().affiliation == ""
