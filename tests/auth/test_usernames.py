"""Login names that every system takes, for names from everywhere."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth import usernames
from auth.models import User


@pytest.mark.parametrize(
    ("said", "username"),
    [
        ({"preferred": "alice@example.org"}, "alice"),
        ({"given": "Inês", "family": "Carvalho"}, "icarvalho"),
        ({"name": "Søren Ødegård"}, "sodegard"),
        ({"name": "Łukasz Groß"}, "lgross"),
        ({"name": "李 明"}, "visitor"),
        ({"preferred": "root", "name": "Ro Ot"}, "rot"),
        ({"preferred": "123", "name": "Ann"}, "ann"),
        ({}, "visitor"),
    ],
)
def test_a_name_becomes_a_login_name(said: dict[str, str], username: str) -> None:
    assert usernames.suggestion(**said) == username


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(preferred=st.text(), name=st.text())
def test_every_name_gives_one_that_unix_takes(preferred: str, name: str) -> None:
    suggested = usernames.suggestion(preferred=preferred, name=name)
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,23}", suggested)
    assert suggested not in usernames.RESERVED


@pytest.mark.django_db
def test_a_taken_name_is_given_with_a_number() -> None:
    for number, expected in enumerate(["ann", "ann2", "ann3"]):
        assert usernames.free("ann") == expected
        User.objects.create(iss="i", sub=str(number), username=expected, name="Ann")
