"""The pages as a browser shows them: axe finds nothing, nothing breaks the content policy, a phone is wide enough."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Error, expect

from auth import audit
from auth.access import Role
from auth.models import ApiToken, CatalogueRun, Participation, RoleGrant, User
from auth.scopes import EVERYDAY, Scope
from auth.services.tokens import create_token
from instances.models import ExtensionRequest, LifetimeRule
from instances.services.people import block_person
from instances.services.roles import grant_role
from instances.states import State
from tests.facility import Facility, instance, person
from tests.pages.test_accessibility import troubles

from .conftest import Browse

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lived_in(facility: Facility) -> Facility:
    """A facility in which things have happened."""
    now = timezone.now()
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada, email="bob@tu-freiberg.example")
    User.objects.filter(pk=facility.ada.pk).update(email="ada@grenoble-inp.example", affiliation="Grenoble INP")
    for state in (State.READY, State.STOPPED, State.FAILED):
        instance(facility, facility.ada, state, name=f"Analysis {state}")
    Participation.objects.update(source="catalogue:files")
    for role, days, because in [
        (Role.IT_SUPPORT, 5, "Stands in for Farid while he is away"),
        (Role.AUDITOR, 80, "Reviews the data policy with the data protection office"),
    ]:
        grant_role(
            acting_user=facility.ivy,
            person=facility.ada,
            role=role,
            because=because,
            until=now + timedelta(days=days),
        )
    RoleGrant.objects.create(
        user=facility.ada,
        role=Role.AUDITOR,
        because="Last year's review",
        source=f"person:{facility.ivy.pk}",
        since=now - timedelta(days=400),
        until=now - timedelta(days=200),
        ended=now - timedelta(days=200),
    )
    mallory = person("mallory", "Mallory Blocked")
    block_person(acting_user=facility.ivy, person=mallory, because="Shared their account with a colleague")
    for name, outcome, problems in [
        ("files", "applied", []),
        ("icat", "unavailable", ["The service answered 503 to page 3."]),
        ("scicat", "refused", ["It lost 812 of 900 participations at once.", "a", "b", "c", "d"]),
        ("files", "unchanged", []),
    ]:
        CatalogueRun.objects.create(
            name=name, mode="full", began=now - timedelta(minutes=9), ended=now - timedelta(minutes=8), outcome=outcome,
            counts={"participation.add": 12, "proposal.change": 3} if outcome == "applied" else {},
            problems=problems, notes=["Someone without a verified identifier was left out."] if not problems else [],
        )  # fmt: skip
    create_token(acting_user=facility.ada, name="Reduction on my laptop", scopes=EVERYDAY)
    create_token(acting_user=facility.ada, name="Logbook", scopes=[Scope.EXPERIMENTS_READ])
    ApiToken.objects.filter(name="Logbook").update(last_used=now, last_address="192.0.2.7")
    create_token(acting_user=facility.ivy, name="Reports", scopes=[Scope.AUDIT_READ])
    ada = facility.ada.as_actor()
    with transaction.atomic():
        for n in range(60):
            audit.record("instance.launch", f"instance:{n:032x}", actor=ada, detail={"flavour": "s"})
    return facility


def addresses(facility: Facility) -> list[str]:
    grant = RoleGrant.objects.filter(user=facility.ada, ended=None).first()
    elsewhere = RoleGrant.objects.get(user=facility.eve)
    mallory = User.objects.get(username="mallory")
    assert grant
    rule, _ = LifetimeRule.objects.get_or_create(flavour=None, role="", defaults={"hours": 336, "idle_hours": 96})
    asked = ExtensionRequest.objects.create(
        instance=instance(facility, facility.bob, expires=timezone.now() + timedelta(hours=9)),
        asked_by=facility.bob,
        until=timezone.now() + timedelta(days=9),
        because="Rings take longer than planned",
    )
    names: list[tuple[str, list[object]]] = [
        ("administration", []),
        ("administration_people", []),
        ("administration_person", [facility.ada.pk]),
        ("administration_block", [facility.ada.pk]),
        ("administration_unblock", [mallory.pk]),
        ("administration_roles", []),
        ("administration_grant", []),
        ("administration_end", [grant.pk]),
        ("administration_end", [elsewhere.pk]),
        ("administration_lifetimes", []),
        ("administration_lifetime_new", []),
        ("administration_lifetime", [rule.pk]),
        ("administration_lifetime_remove", [rule.pk]),
        ("administration_requests", []),
        ("administration_decide", [asked.pk]),
        ("administration_pin", [asked.instance_id]),
        ("administration_audit", []),
        ("administration_chain", []),
        ("administration_catalogues", []),
        ("administration_drift", []),
        ("administration_clouds", []),
    ]
    pages = [reverse(f"instances:{name}", args=arguments) for name, arguments in names]
    return [*pages, f"{reverse('instances:administration_audit')}?since=x", "/account/tokens/", "/account/tokens/new/"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_and_no_page_breaks_its_content_policy(
    dark: bool, lived_in: Facility, browse: Browse
) -> None:
    page, found, said = browse(lived_in.ivy, dark=dark), {}, list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for address in addresses(lived_in):
        page.goto(address)
        for details in page.locator("main details").all()[:2]:
            details.locator("summary").click()
        found[address] = troubles(page)
    assert {address: trouble for address, trouble in found.items() if trouble} == {}
    assert [text for text in said if "/events" not in text and "422" not in text] == []


def test_nothing_is_wider_than_a_phone(lived_in: Facility, browse: Browse) -> None:
    page = browse(lived_in.ivy, width=375, height=740)
    wide: dict[str, Any] = {}
    for address in addresses(lived_in):
        page.goto(address)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 375:
            wide[address] = width
    assert wide == {}


def test_a_token_is_made_copied_and_revoked_with_the_keyboard(lived_in: Facility, browse: Browse) -> None:
    page = browse(lived_in.ada)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    page.locator("summary.person").press("Enter")
    page.get_by_role("link", name="Access tokens").press("Enter")
    page.get_by_role("link", name="New token").press("Enter")
    page.get_by_label("Name", exact=True).fill("From the keyboard")
    page.get_by_role("checkbox", name="instances:read").press("Space")
    page.get_by_role("button", name="Make the token").press("Enter")
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Copy").press("Enter")
    expect(page.locator("#toasts")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.get_by_role("link", name="I have copied it").press("Enter")
    expect(page.get_by_text("From the keyboard")).to_be_visible()
    with pytest.raises(Error, match="CACHE_MISS"):  # the browser kept nothing to go back to
        page.go_back()
    page = browse(lived_in.ada)
    page.goto("/account/tokens/")
    page.get_by_role("link", name="Revoke From the keyboard").press("Enter")
    page.get_by_role("button", name="Revoke").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("is revoked")


def test_a_role_is_given_and_ended_in_a_browser(lived_in: Facility, browse: Browse) -> None:
    page = browse(lived_in.ivy)
    page.goto("/administration/people/?search=sci")
    page.get_by_role("link", name="Sci Entist").click()
    page.get_by_role("link", name="Give a role").click()
    page.get_by_label("Role", exact=True).select_option("it_support")
    page.get_by_label("Why").fill("Helps during the long shutdown")
    page.get_by_role("button", name="Give the role").click()
    expect(page.get_by_role("status").first).to_contain_text("Sci Entist is IT support until")
    page.get_by_role("link", name="End IT support").click()
    page.get_by_label("Why").fill("The shutdown is over")
    page.get_by_role("button", name="End the role").click()
    expect(page.get_by_role("status").first).to_contain_text("no longer IT support")
    assert not lived_in.sci.as_actor().has(Role.IT_SUPPORT)


def test_the_runs_of_catalogues_are_filtered(lived_in: Facility, browse: Browse) -> None:
    page = browse(lived_in.aud)

    def outcomes(query: str) -> list[str]:
        page.goto(f"/administration/catalogues/?{query}")
        return [text.strip() for text in page.locator("tbody .state").all_inner_texts()]

    assert sorted(outcomes("")) == ["Applied", "Refused", "Unavailable", "Unchanged"]
    assert sorted(outcomes("outcome=trouble")) == ["Refused", "Unavailable"]
    assert outcomes("name=icat") == ["Unavailable"]
    expect(page.get_by_text("The service answered 503 to page 3.")).to_be_visible()
    assert outcomes("name=icat&outcome=applied") == []
