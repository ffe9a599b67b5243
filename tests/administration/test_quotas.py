"""Quotas as administrators set, change and remove them, and what the list says of their use."""

from typing import Any

import pytest
from django.urls import reverse

from auth.access import Role
from auth.models import AuditEvent, User
from instances.errors import Denied, Invalid, NotFound
from instances.models import Quota
from instances.quotas import Limits, Scope
from instances.services.quota_settings import remove_quota, set_quota
from instances.services.quota_use import readings
from instances.states import State
from tests.facility import Facility, instance
from tests.pages.test_accessibility import troubles

from .conftest import As, Browse

pytestmark = pytest.mark.django_db
WHY = "The tomography weeks need more"
LIST, SET = reverse("instances:administration_quotas"), reverse("instances:administration_quota_set")


def set_one(facility: Facility, scope: Scope = Scope.PERSON, **fields: Any) -> Quota:
    wanted = {"acting_user": facility.ivy, "scope": scope, "limits": Limits(instances=3), "because": WHY}
    return set_quota(**wanted | fields)


def form(**fields: str) -> dict[str, str]:
    return {"scope": "person", "instances": "4", "because": WHY} | fields


def test_a_quota_says_who_set_it_and_why_and_a_second_one_replaces_it(facility: Facility) -> None:
    first = set_one(facility)
    again = set_one(facility, limits=Limits(cores=8, gpus={"A40": 1}))
    assert (again.pk, again.limits, again.set_by) == (first.pk, Limits(cores=8, gpus={"A40": 1}), facility.ivy)
    made, changed = AuditEvent.objects.filter(action="quota.set").order_by("seq")
    assert (made.actor_id, made.target, made.because) == (facility.ivy.pk, f"quota:{first.pk}", WHY)
    assert made.detail == {"quota": "each person", "limits": {"instances": 3}, "before": None}
    assert changed.detail["before"] == {"instances": 3} and changed.detail["limits"] == {"cores": 8, "gpu:A40": 1}


@pytest.mark.parametrize("persona", ["ada", "sci", "aud", "eve"])
def test_only_an_administrator_sets_and_removes_quotas(facility: Facility, persona: str) -> None:
    row = set_one(facility)
    with pytest.raises(Denied):
        set_one(facility, acting_user=getattr(facility, persona), limits=Limits(instances=99))
    with pytest.raises(Denied):
        remove_quota(acting_user=getattr(facility, persona), quota=row, because=WHY)
    assert Quota.objects.get().limits == Limits(instances=3)


def test_a_person_s_quota_is_that_of_the_account_that_signing_in_opens(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    assert set_one(facility, user=User.objects.get(pk=facility.bob.pk)).user == facility.ada


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"because": "short"}, "because"),
        ({"limits": Limits()}, "limits"),
        ({"limits": Limits(instances=-1)}, "instances"),
        ({"scope": Scope.ROLE}, "role"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence_and_sets_nothing(
    facility: Facility, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        set_one(facility, **fields)
    assert set(refused.value.fields) == {field}
    assert not Quota.objects.exists() and not AuditEvent.objects.exists()


def test_removing_leaves_a_row_in_the_trail_and_happens_once(facility: Facility) -> None:
    row = set_one(facility, Scope.GLOBAL)
    remove_quota(acting_user=facility.ivy, quota=row, because=WHY)
    event = AuditEvent.objects.get(action="quota.remove")
    assert event.detail == {"quota": "everybody together", "before": {"instances": 3}}
    with pytest.raises(NotFound):
        remove_quota(acting_user=facility.ivy, quota=row, because=WHY)


def test_the_use_of_a_default_is_that_of_whoever_has_most_and_falls_under_it(facility: Facility) -> None:
    set_one(facility)
    set_one(facility, user=facility.ada)
    set_one(facility, Scope.ROLE, role=Role.INSTRUMENT_SCIENTIST)
    set_one(facility, Scope.GLOBAL)
    set_one(facility, Scope.PROPOSAL)
    for owner, count in [(facility.ada, 5), (facility.sci, 4), (facility.bob, 2), (facility.ivy, 1)]:
        for _ in range(count):
            instance(facility, owner)
    instance(facility, facility.bob, State.DELETED)
    read = {
        str(row): [(r.gauge.in_words, r.whose) for r in found] for row, found in readings(list(Quota.objects.all()))
    }
    assert read == {
        "everybody together": [("12 of 3", "")],
        "each person": [("2 of 3", "Bob Maes")],
        "Ada Lind": [("5 of 3", "")],
        "each Instrument scientist": [("4 of 3", "Sci Entist")],
        "each proposal": [("12 of 3", "HC-1")],
    }


def test_the_list_costs_the_same_however_many_quotas_there_are(
    facility: Facility, django_assert_max_num_queries: Any
) -> None:
    for scope in (Scope.GLOBAL, Scope.PERSON, Scope.PROPOSAL, Scope.INSTRUMENT):
        set_one(facility, scope)
    for user in (facility.ada, facility.bob, facility.sci):
        set_one(facility, user=user)
        instance(facility, user)
    rows = list(Quota.objects.select_related("user", "proposal", "instrument"))
    with django_assert_max_num_queries(7):
        readings(rows)


def test_the_form_sets_what_it_says(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    sent = form(scope="proposal", proposal="HC-1", cores="1.5", memory_gb="16", **{"gpu.A40": "2", "gpu.*": "0"})
    assert client.post(SET, sent).headers["Location"] == LIST
    row = Quota.objects.get()
    assert (row.proposal, row.limits) == (
        facility.running.proposal,
        Limits(4, 1.5, 16384, {"A40": 2, "*": 0}),
    )
    page = client.get(LIST).content.decode()
    assert "The quota of HC-1 is 4 instances, 1.5 cores, 16 GB of memory" in page
    change = reverse("instances:administration_quota_change", args=[row.pk])
    shown = client.get(change).content.decode()
    for field in ('value="1.5"', 'value="16"', 'value="0"'):
        assert field in shown
    client.post(change, form(scope="global", instances="9"))
    row.refresh_from_db()
    assert (row.scope, row.proposal, row.limits) == ("proposal", facility.running.proposal, Limits(instances=9))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scope": ""}, "scope"),
        ({"person": "nobody"}, "person"),
        ({"scope": "proposal", "proposal": "no-such"}, "proposal"),
        ({"scope": "instrument", "instrument": "no-such"}, "instrument"),
        ({"scope": "role"}, "role"),
        ({"instances": "many"}, "instances"),
        ({"instances": "1.5"}, "instances"),
        ({"cores": "-1"}, "cores"),
        ({"cores": "nan"}, "cores"),
        ({"memory_gb": "1e99"}, "memory_gb"),
        ({"gpu.A40": "x"}, "gpu.A40"),
        ({"instances": "", "cores": ""}, "limits"),
        ({"because": "no"}, "because"),
    ],
)
def test_bad_input_gets_a_sentence_beside_its_field_and_loses_nothing(
    facility: Facility, signed_in: As, fields: dict[str, str], field: str
) -> None:
    sent = form(cores="7") | fields
    answer = signed_in(facility.ivy).post(SET, sent)
    page = answer.content.decode()
    assert answer.status_code == 422 and page.count('class="field-error"') == 1
    assert f'id="error-{field}"' in page
    assert f'value="{sent["cores"]}"' in page and sent["because"] in page
    assert not Quota.objects.exists()


def test_removing_asks_why(facility: Facility, signed_in: As) -> None:
    row, client = set_one(facility), signed_in(facility.ivy)
    address = reverse("instances:administration_quota_remove", args=[row.pk])
    assert client.post(address, {"because": "x"}).status_code == 422
    assert client.post(address, {"because": WHY}).headers["Location"] == LIST
    assert not Quota.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(facility: Facility, browse: Browse, dark: bool) -> None:
    row = set_one(facility, limits=Limits(instances=2, memory_mb=65536, gpus={"A40": 1}))
    set_one(facility, Scope.PROPOSAL, limits=Limits(instances=1), proposal=facility.running.proposal)
    for _ in range(2):
        instance(facility, facility.ada)
    page, phone = browse(facility.ivy, dark=dark), browse(facility.ivy, width=375, height=740)
    found = {}
    for address in (LIST, SET, *(f"{LIST}{row.pk}/{what}/" for what in ("change", "remove"))):
        page.goto(address)
        found[address] = troubles(page)
        phone.goto(address)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 375, address
    assert {address: trouble for address, trouble in found.items() if trouble} == {}
