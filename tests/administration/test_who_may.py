"""Every page of the administration, for everybody: 404 for whoever may not know of it, no change by whoever looks."""

from datetime import timedelta

import pytest
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from auth.access import Role
from auth.models import AuditEvent, RoleGrant, User
from instances.models import Cloud, ExtensionRequest, Instance, LifetimeRule, Mail, Quota, Stray
from instances.models.mail import Fate, Kind
from instances.quotas import Scope
from instances.urls import urlpatterns
from tests.facility import Facility, instance

from .conftest import As

pytestmark = pytest.mark.django_db
STAFF = {"ivy": "administrator", "aud": "auditor", "eve": "IT support"}
OTHERS = ["ada", "bob", "sci"]
CHANGING = {"grant", "end", "block", "unblock", "resend"}
CHANGING |= {"decide", "lifetime_new", "lifetime", "lifetime_remove", "pin"}
CHANGING |= {"look_again", "adopt", "discard", "change_cloud", "gone"}
CHANGING |= {"quota_set", "quota_change", "quota_remove"}
OFFERS = ("grant", "end", "block", "unblock", "remove", "pins", "resend", "set", "change")
OFFERS += ("look-again", "adopt", "delete", "gone")
PATTERNS = [p.name for p in urlpatterns if p.name and p.name.startswith("administration")]


@pytest.fixture(autouse=True)
def quota(facility: Facility) -> Quota:
    return Quota.objects.create(scope=Scope.PERSON, instances=3, because="test")


@pytest.fixture(autouse=True)
def letter(facility: Facility) -> Mail:
    return Mail.objects.create(to=facility.bob, key="k", kind=Kind.ALERT, facts={"title": "A mail"}, fate=Fate.FAILED)


def addresses(facility: Facility) -> dict[str, str]:
    """One address for each page; a page that is added is among them, or fails here."""
    grant = RoleGrant.objects.get(role=Role.INSTRUMENT_SCIENTIST)
    letter = Mail.objects.get()
    rule, _ = LifetimeRule.objects.get_or_create(flavour=None, role="", defaults={"hours": 336})
    later = timezone.now() + timedelta(days=9)
    asked = ExtensionRequest.objects.first() or ExtensionRequest.objects.create(
        instance=instance(facility, facility.ada), asked_by=facility.ada, until=later, because="More rings to refine"
    )
    labels = {"owner": "ada", "environment": "desktop", "flavour": "s"}
    stray, _ = Stray.objects.get_or_create(
        cloud=facility.cloud, kind="orphan", key="e" * 32, defaults={"phase": "running", "labels": labels}
    )
    quota = Quota.objects.get()
    found = {}
    for name in PATTERNS:
        arguments: dict[str, list[object]] = {page: [facility.bob.pk] for page in ("person", "block", "unblock")}
        arguments |= {"lifetime": [rule.pk], "lifetime_remove": [rule.pk]}
        arguments |= {"adopt": [stray.pk], "discard": [stray.pk], "look_again": [asked.instance_id]}
        arguments |= {"change_cloud": [facility.cloud.pk], "gone": [facility.cloud.pk]}
        arguments |= {"letter": [letter.pk], "resend": [letter.pk], "end": [grant.pk]}
        arguments |= {"decide": [asked.pk], "pin": [asked.instance_id]}
        arguments |= {"quota_change": [quota.pk], "quota_remove": [quota.pk]}
        page = name.partition("_")[2]
        found[page] = reverse(f"instances:{name}", args=arguments.get(page, []))
    return found


def everything() -> list[list[tuple[object, ...]]]:
    kept: list[type[models.Model]] = [User, RoleGrant, LifetimeRule, ExtensionRequest, Mail, Quota]
    kept += [Cloud, Stray, Instance]
    return [list(model.objects.order_by("pk").values_list()) for model in kept]


def body(client: Client, address: str) -> tuple[int, str]:
    answer = client.get(address)
    return answer.status_code, answer.getvalue().decode()


def test_there_are_pages_to_look_at() -> None:
    assert len(PATTERNS) >= 12


@pytest.mark.parametrize("persona", OTHERS)
def test_for_people_without_such_a_role_there_is_no_administration(
    persona: str, facility: Facility, signed_in: As
) -> None:
    client = signed_in(getattr(facility, persona))
    for address in addresses(facility).values():
        assert client.get(address).status_code == 404, address
        assert client.post(address, {"because": "I should like to"}).status_code == 404, address
    assert "Administration" not in client.get("/").content.decode()


def test_visitors_are_sent_to_sign_in(facility: Facility, client: Client) -> None:
    for address in addresses(facility).values():
        assert client.get(address).status_code == 302
        assert client.post(address).status_code == 302


@pytest.mark.parametrize("persona", STAFF)
def test_staff_see_every_page(persona: str, facility: Facility, signed_in: As) -> None:
    client = signed_in(getattr(facility, persona))
    for page, address in addresses(facility).items():
        status, text = body(client, address)
        changes = page in CHANGING
        assert status == (403 if changes and persona != "ivy" else 200), address
        if persona != "ivy":
            offered = text.lower().count("<form") - text.count('method="get"') - text.count("/sign-out/")
            assert offered == 0, f"{address} offers a form"
            assert not any(f"/{word}/" in text for word in OFFERS), address
    assert "Administration" in client.get("/").content.decode()


@pytest.mark.parametrize(("persona", "reason"), [("aud", "can change nothing"), ("eve", "Only an administrator")])
def test_whoever_only_looks_changes_nothing_by_any_address(
    persona: str, reason: str, facility: Facility, signed_in: As
) -> None:
    client, pages = signed_in(getattr(facility, persona)), addresses(facility)
    before = everything()
    filled = {
        "person": "bob",
        "role": "auditor",
        "until": f"{timezone.now():%Y}-12-31",
        "because": "because I would like to see",
    }
    for address in pages.values():
        answer = client.post(address, filled)
        assert answer.status_code == 403, address
        assert reason in answer.content.decode()
    assert everything() == before


def test_an_auditor_who_is_administrator_as_well_changes_nothing(facility: Facility, signed_in: As) -> None:
    RoleGrant.objects.create(user=facility.aud, role=Role.ADMINISTRATOR, because="test", source="test")
    answer = signed_in(facility.aud).get(reverse("instances:administration_grant"))
    assert answer.status_code == 403 and "can change nothing" in answer.content.decode()


def test_changing_something_needs_a_login_of_the_last_minutes(facility: Facility, signed_in: As) -> None:
    client, pages = signed_in(facility.ivy, fresh=False), addresses(facility)
    before = everything()
    for page, address in pages.items():
        if page in CHANGING:
            assert client.get(address).status_code == 302
            assert client.post(address, {"because": "because of the rules"}).status_code == 403
    assert everything() == before


def test_a_blocked_administrator_s_open_session_opens_nothing(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    User.objects.filter(pk=facility.ivy.pk).update(is_active=False)
    for address in addresses(facility).values():
        assert client.get(address).status_code == 302


def test_looking_at_a_person_leaves_a_row(facility: Facility, signed_in: As) -> None:
    signed_in(facility.aud).get(reverse("instances:administration_person", args=[facility.bob.pk]))
    row = AuditEvent.objects.get(action="person.look")
    assert (row.actor_id, row.target) == (facility.aud.pk, f"user:{facility.bob.pk}")
