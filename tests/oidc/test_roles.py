"""Roles from groups: after each sign-in exactly what the claims say now, for as long as the mapping says."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from auth import rights
from auth.access import Role
from auth.models import AuditEvent, Instrument, RoleGrant, User
from auth.oidc import roles
from auth.oidc.demo_provider.people import Person

from .conftest import Browser, Wire

pytestmark = pytest.mark.django_db(transaction=True)
TEAM = "urn:geant:example.org:group:visa"
Groups = Callable[..., None]


@pytest.fixture
def groups(wire: Wire) -> Groups:
    """`groups(…)`: what the provider says from now on about whoever signs in."""

    def say(*entitlements: str) -> None:
        said = {"eduperson_entitlement": list(entitlements)}
        wire.faults["/userinfo"] = lambda body: json.dumps(json.loads(body) | said).encode()

    return say


@pytest.fixture
def mapped(settings: Any, tmp_path: Path) -> Callable[..., None]:
    def write(*entries: dict[str, Any]) -> None:
        file = tmp_path / f"mapping-{len(list(tmp_path.iterdir()))}.json"
        file.write_text(json.dumps(entries))
        settings.ROLE_MAPPING = str(file)

    return write


def held() -> set[str]:
    return {str(role) for role in User.objects.get().as_actor().roles}


def trail() -> list[str]:
    events = AuditEvent.objects.filter(action__startswith="role.").values_list("action", "detail__role")
    return [f"{action} {role}" for action, role in events]


def test_roles_come_and_go_with_the_groups(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups, wire: Wire
) -> None:
    told: list[Any] = []
    listen = lambda sender, users, **kwargs: told.append(users)  # noqa: E731
    rights.changed.connect(listen)
    instrument = Instrument.objects.create(code="id11", name="Materials")
    mapped(
        {"entitlement": f"{TEAM}:admins", "role": "administrator", "days": 7},
        {"entitlement": f"{TEAM}:id11:role=scientist", "role": "instrument_scientist", "instrument": "id11"},
    )
    groups(f"{TEAM}:admins#aai", f"{TEAM}:id11:role=scientist")
    browser.sign_in(people["Inês"])
    user = User.objects.get()
    assert held() == {"administrator", "instrument_scientist"}
    assert user.as_actor().instruments == {instrument.pk}
    grant = RoleGrant.objects.get(role=Role.ADMINISTRATOR)
    assert grant.source == f"claim:{wire.url.removeprefix('http://')}"
    assert grant.because == f"member of {TEAM}:admins"
    assert grant.until and timedelta(days=6) < grant.until - timezone.now() <= timedelta(days=7)
    assert sorted(trail()) == ["role.grant administrator", "role.grant instrument_scientist"]
    assert told == [{user.pk}]
    sign_in = AuditEvent.objects.get(action="session.sign_in")
    assert sign_in.detail["roles"] == ["administrator", "instrument_scientist"]

    RoleGrant.objects.filter(role=Role.ADMINISTRATOR).update(until=timezone.now() + timedelta(days=1))
    groups(f"{TEAM}:admins")
    browser.sign_in(people["Inês"])
    assert held() == {"administrator"}
    grant.refresh_from_db()
    assert grant.until - timezone.now() > timedelta(days=6), "what is still said lasts on"
    ended = RoleGrant.objects.get(role=Role.INSTRUMENT_SCIENTIST)
    assert ended.ended is not None
    assert trail()[2:] == ["role.end instrument_scientist"]
    assert told == [{user.pk}, {user.pk}]

    groups(f"{TEAM}:id11:role=scientist")
    browser.sign_in(people["Inês"])
    assert held() == {"instrument_scientist"}
    ended.refresh_from_db()
    assert ended.ended is None
    assert RoleGrant.objects.count() == 2, "history, not heaps"
    rights.changed.disconnect(listen)


def test_a_role_ends_on_its_day_without_another_sign_in(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups
) -> None:
    mapped({"entitlement": TEAM, "role": "auditor", "days": 2})
    groups(TEAM)
    browser.sign_in(people["Inês"])
    user = User.objects.get()
    assert user.as_actor(at=timezone.now() + timedelta(days=1)).has(Role.AUDITOR)
    assert not user.as_actor(at=timezone.now() + timedelta(days=2, seconds=1)).has(Role.AUDITOR)


def test_roles_of_other_sources_are_nobody_s_business_here(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups
) -> None:
    browser.sign_in(people["Inês"])
    user = User.objects.get()
    for source in ("person:1", "catalogue:x", "claim:else.example"):
        RoleGrant.objects.create(user=user, role=Role.AUDITOR, because="b", source=source)
    mapped({"entitlement": TEAM, "role": "auditor"})
    groups()
    browser.sign_in(people["Inês"])
    assert RoleGrant.objects.filter(until=None).count() == 3


def test_an_unknown_instrument_gives_nothing_and_is_reported(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups, caplog: Any
) -> None:
    mapped({"entitlement": TEAM, "role": "instrument_scientist", "instrument": "id99"})
    groups(TEAM)
    browser.sign_in(people["Inês"])
    assert held() == set()
    assert "names instrument id99" in caplog.text


def test_a_value_that_only_contains_the_mapped_one_gives_nothing(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups
) -> None:
    mapped({"entitlement": TEAM, "role": "administrator"})
    groups(f"{TEAM}-guests", f"x{TEAM}", f"{TEAM}:deeper", f"{TEAM}:role=member", f"{TEAM} {TEAM}", f"#{TEAM}")
    browser.sign_in(people["Inês"])
    assert held() == set()


def test_a_mapping_that_cannot_be_read_ends_nobody_s_role(
    browser: Browser, people: dict[str, Person], mapped: Any, groups: Groups, settings: Any, caplog: Any
) -> None:
    mapped({"entitlement": TEAM, "role": "auditor"})
    groups(TEAM)
    browser.sign_in(people["Inês"])
    settings.ROLE_MAPPING = "/nowhere.json"
    browser.sign_in(people["Inês"])
    assert held() == {"auditor"}
    assert "VISA_ROLE_MAPPING cannot be used" in caplog.text
    settings.ROLE_MAPPING = ""
    browser.sign_in(people["Inês"])
    assert held() == set(), "no mapping any more: no roles from it any more"


def test_the_check_names_entry_and_field(settings: Any, tmp_path: Path, mapped: Any) -> None:
    mapped({"entitlement": TEAM, "role": "auditor"}, {"entitlement": "x", "role": "boss", "days": 0})
    (tmp_path / "more.json").write_text(json.dumps([{"issuer": "ftp://x", "client_id": 3, "sign_in": "yes", "x": 1}]))
    settings.OIDC_MORE = str(tmp_path / "more.json")
    said = [error.msg for error in run_checks() if error.id and error.id.startswith("visa_auth.")]
    for part in (
        "VISA_ROLE_MAPPING: Entry 2: entitlement must be",
        "VISA_ROLE_MAPPING: Entry 2: role must be one of",
        "VISA_ROLE_MAPPING: Entry 2: days must be",
        "VISA_OIDC_MORE: Entry 1: 'x' is no field of a provider.",
        "VISA_OIDC_MORE: Entry 1: client_id must be",
        "VISA_OIDC_MORE: Entry 1: title must be",
        "VISA_OIDC_MORE: Entry 1: sign_in must be",
        "VISA_OIDC_MORE: Entry 1: issuer must be an https address.",
    ):
        assert any(sentence.startswith(part) for sentence in said), part
    assert not any("Entry 1: role" in sentence for sentence in said)


def test_a_file_that_is_not_there_is_named(settings: Any) -> None:
    settings.ROLE_MAPPING = settings.OIDC_MORE = "/nowhere.json"
    said = [error.msg for error in run_checks() if error.id and error.id.startswith("visa_auth.")]
    assert [sentence.partition(" cannot be read")[0] for sentence in said] == [
        "VISA_OIDC_MORE: /nowhere.json",
        "VISA_ROLE_MAPPING: /nowhere.json",
    ]


def test_without_further_providers_that_can_be_used_the_main_one_still_works(
    browser: Browser, people: dict[str, Person], settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text("[{}]")
    settings.OIDC_MORE = str(tmp_path / "bad.json")
    browser.sign_in(people["Inês"])
    assert browser.is_signed_in
    assert roles.source_of("https://proxy.myaccessid.org") == "claim:proxy.myaccessid.org"
