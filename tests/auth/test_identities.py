"""Subjects in the one form in which they are compared."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from hypothesis import given, strategies

from auth.identities import canonical_subject, scope_fits
from auth.models import User
from auth.oidc import claims

PROXY = "https://proxy.myaccessid.org"


@pytest.mark.parametrize(
    ("sub", "kept"),
    [
        ("AB12@MyAccessID.org", "ab12@myaccessid.org"),
        ("AB12@else.example", "AB12@else.example"),
        ("AB12@evil-myaccessid.org", "AB12@evil-myaccessid.org"),
        ("AB12@myaccessid.org@else.example", "AB12@myaccessid.org@else.example"),
        ("MYACCESSID.ORG", "MYACCESSID.ORG"),
        ("", ""),
    ],
)
def test_case_carries_nothing_at_myaccessid_and_may_elsewhere(sub: str, kept: str) -> None:
    assert canonical_subject(PROXY, sub) == kept


@given(strategies.text(max_size=20), strategies.sampled_from(["", "@myaccessid.org", "@x.example"]))
def test_the_canonical_form_is_its_own(name: str, scope: str) -> None:
    once = canonical_subject(PROXY, name + scope)
    assert canonical_subject(PROXY, once) == once


@pytest.mark.parametrize(
    ("iss", "sub", "fits"),
    [
        (PROXY, "a@myaccessid.org", True),
        (PROXY, "a@MYACCESSID.ORG", True),
        (PROXY, "a@else.example", False),
        (PROXY, "a", False),
        (PROXY, "a@acc.myaccessid.org", False),
        ("https://proxy.acc.myaccessid.org", "a@acc.myaccessid.org", True),
        ("https://proxy.acc.myaccessid.org", "a@myaccessid.org", True),
        ("https://evil-myaccessid.org", "a@else.example", True),
        ("https://login.example.org", "anything", True),
    ],
)
def test_myaccessid_speaks_of_its_own_and_of_nobody_else(iss: str, sub: str, fits: bool) -> None:
    assert scope_fits(iss, sub) is fits
    said = {"iss": iss, "sub": sub}
    if fits:
        assert claims.identity(said, {"sub": sub}).sub == canonical_subject(iss, sub)
    else:
        with pytest.raises(claims.ClaimsRefused):
            claims.identity(said, {"sub": sub})


UMBRELLA = {"iss": "https://umbrella.example", "sub": "session-1"}


@pytest.mark.parametrize("hash_", ["4e0b0c9a-3b3c-4a58-b8a9-2b0f7d1c6a11", ["4e0b0c9a-3b3c-4a58-b8a9-2b0f7d1c6a11"]])
def test_umbrella_s_people_are_known_by_their_hash(hash_: Any) -> None:
    found = claims.identity(UMBRELLA, {"sub": "session-1", "EAAHash": hash_, "uid": "amoreau"}, sub_claim="EAAHash")
    assert (found.sub, found.subject) == ("4e0b0c9a-3b3c-4a58-b8a9-2b0f7d1c6a11", "session-1")
    assert found.preferred_username == "amoreau"


@pytest.mark.parametrize("said", [{}, {"EAAHash": ""}, {"EAAHash": ["a", "b"]}, {"EAAHash": 7}, {"EAAHash": {"a": 1}}])
def test_without_one_hash_nobody_is_known(said: dict[str, Any]) -> None:
    with pytest.raises(claims.ClaimsRefused):
        claims.identity(UMBRELLA, {"sub": "session-1"} | said, sub_claim="EAAHash")


def test_a_hash_that_the_token_and_userinfo_disagree_about_is_nobody_s() -> None:
    with pytest.raises(claims.ClaimsRefused):
        claims.identity(UMBRELLA | {"EAAHash": "a"}, {"sub": "session-1", "EAAHash": "b"}, sub_claim="EAAHash")


migration = import_module("auth.migrations.0006_identities")


@pytest.mark.django_db
def test_known_subjects_are_folded() -> None:
    user = User.objects.create(iss=PROXY, sub="AB@myaccessid.org", username="a", name="A")
    other = User.objects.create(iss="https://x.example", sub="AB@x.example", username="b", name="B")
    migration.fold_subjects(apps, None)
    user.refresh_from_db()
    other.refresh_from_db()
    assert (user.sub, other.sub) == ("ab@myaccessid.org", "AB@x.example")


@pytest.mark.django_db
def test_two_accounts_that_would_become_one_stop_the_migration_and_are_named() -> None:
    rows = [User.objects.create(iss=PROXY, sub=f"{s}@myaccessid.org", username=s, name=s) for s in ("ab", "AB", "c")]
    with pytest.raises(migration.SubjectsCollide) as raised:
        migration.fold_subjects(apps, None)
    assert f"{rows[0].pk} and {rows[1].pk}" in str(raised.value)
    assert f" {rows[2].pk}" not in str(raised.value)
    assert User.objects.filter(sub="AB@myaccessid.org").exists()
