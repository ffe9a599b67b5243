"""Roles by hand: given with a reason and an end, extended, ended, and over on their date at once."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from auth import rights
from auth.access import Role
from auth.models import AuditEvent, RoleGrant, User
from instances.errors import Conflict, Denied, Invalid
from instances.services.roles import BATCH, end_expired, end_role, grant_role
from tests.facility import Facility, person

from .conftest import As

pytestmark = pytest.mark.django_db
WHY = "Stands in for Ivy in December"


def soon(days: float = 30) -> datetime:
    return timezone.now() + timedelta(days=days)


def give(facility: Facility, to: User, role: Role = Role.IT_SUPPORT, **fields: Any) -> RoleGrant:
    wanted = {"acting_user": facility.ivy, "person": to, "role": role, "because": WHY, "until": soon()}
    return grant_role(**wanted | fields)


@pytest.fixture
def told() -> Iterator[list[tuple[frozenset[int], str]]]:
    heard: list[tuple[frozenset[int], str]] = []

    def hear(sender: object, users: frozenset[int], because: str, **_: object) -> None:
        heard.append((users, because))

    rights.changed.connect(hear)
    yield heard
    rights.changed.disconnect(hear)


def test_a_role_holds_at_once_and_says_who_gave_it_and_why(facility: Facility, told: list[Any]) -> None:
    grant = give(facility, facility.bob)
    assert facility.bob.as_actor().has(Role.IT_SUPPORT)
    assert (grant.source, grant.because) == (f"person:{facility.ivy.pk}", WHY)
    assert told == [({facility.bob.pk}, "you are IT support now")]
    row = AuditEvent.objects.get(action="role.grant")
    assert (row.actor_id, row.target, row.because) == (facility.ivy.pk, f"user:{facility.bob.pk}", WHY)
    assert row.detail["role"] == "it_support" and row.detail["until"] == grant.until.isoformat()


@pytest.mark.parametrize("persona", ["ada", "sci", "aud", "eve"])
def test_only_an_administrator_gives_and_ends_roles(facility: Facility, persona: str) -> None:
    acting = getattr(facility, persona)
    grant = give(facility, facility.bob)
    with pytest.raises(Denied):
        give(facility, facility.bob, Role.AUDITOR, acting_user=acting)
    with pytest.raises(Denied):
        end_role(acting_user=acting, grant=grant, because=WHY)
    assert RoleGrant.objects.filter(user=facility.bob, ended=None).count() == 1


def test_nobody_gives_roles_to_themselves_not_even_to_another_identity_of_theirs(facility: Facility) -> None:
    with pytest.raises(Denied, match="themselves"):
        give(facility, facility.ivy)
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ivy)
    with pytest.raises(Denied, match="themselves"):
        give(facility, User.objects.get(pk=facility.bob.pk))


def test_a_role_goes_to_the_account_that_signing_in_opens(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    assert give(facility, User.objects.get(pk=facility.bob.pk)).user_id == facility.ada.pk


def test_a_blocked_person_is_given_nothing(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(is_active=False)
    with pytest.raises(Conflict, match="blocked"):
        give(facility, facility.bob)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"because": "too short"}, "because"),
        ({"because": "x" * 201}, "because"),
        ({"because": " " * 50}, "because"),
        ({"until": soon(-1)}, "until"),
        ({"until": soon(401)}, "until"),
        ({"role": Role.INSTRUMENT_SCIENTIST}, "instrument"),
        ({"role": Role.INSTRUMENT_CONTROL}, "instrument"),
        ({"role": Role.LOCAL_CONTACT}, "experiment"),
    ],
)
def test_what_is_missing_or_wrong_is_said_by_field(facility: Facility, wrong: dict[str, Any], field: str) -> None:
    before = RoleGrant.objects.count()
    with pytest.raises(Invalid) as raised:
        give(facility, facility.bob, **wrong)
    assert set(raised.value.fields) == {field}
    assert RoleGrant.objects.count() == before and not AuditEvent.objects.filter(action="role.grant").exists()


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.IT_SUPPORT, Role.AUDITOR])
def test_a_role_for_the_whole_facility_takes_no_place(facility: Facility, role: Role) -> None:
    place = {"instrument": facility.running.instrument, "experiment": facility.running}
    with pytest.raises(Invalid) as raised:
        give(facility, facility.bob, role, **place)
    assert set(raised.value.fields) == {"instrument", "experiment"}


def test_roles_on_an_instrument_and_on_an_experiment_reach_just_that(facility: Facility) -> None:
    instrument = facility.running.instrument
    give(facility, facility.bob, Role.INSTRUMENT_SCIENTIST, instrument=instrument)
    give(facility, facility.bob, Role.LOCAL_CONTACT, experiment=facility.running)
    actor = facility.bob.as_actor()
    assert (actor.instruments, actor.experiments) == ({instrument.pk}, {facility.running.pk})


def test_giving_the_same_again_extends_it_and_never_shortens_it(facility: Facility) -> None:
    first = give(facility, facility.bob, until=soon(10))
    again = give(facility, facility.bob, until=soon(20), because="It takes longer than we thought")
    assert first.pk == again.pk and again.until > first.until
    assert AuditEvent.objects.filter(action="role.grant").last().detail["before"] == first.until.isoformat()
    with pytest.raises(Invalid, match="already"):
        give(facility, facility.bob, until=soon(5))


def test_an_ended_role_stays_as_history_and_can_be_given_anew(facility: Facility, told: list[Any]) -> None:
    first = give(facility, facility.bob)
    ended = end_role(acting_user=facility.ivy, grant=first, because="Ivy is back at work")
    assert not facility.bob.as_actor().has(Role.IT_SUPPORT)
    assert ended.ended == ended.until <= timezone.now()
    assert told[-1] == ({facility.bob.pk}, "you are no longer IT support: Ivy is back at work")
    assert AuditEvent.objects.get(action="role.end").because == "Ivy is back at work"
    second = give(facility, facility.bob)
    assert second.pk != first.pk and RoleGrant.objects.filter(user=facility.bob).count() == 2
    with pytest.raises(Conflict, match="ended already"):
        end_role(acting_user=facility.ivy, grant=first, because=WHY)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [("catalogue:files", "catalogue files says so"), ("claim:proxy.myaccessid.org", "proxy.myaccessid.org says so")],
)
def test_a_role_from_elsewhere_is_not_ended_here_and_the_answer_says_where(
    facility: Facility, source: str, sentence: str
) -> None:
    grant = RoleGrant.objects.create(user=facility.bob, role=Role.AUDITOR, because="x", source=source)
    with pytest.raises(Conflict, match=sentence):
        end_role(acting_user=facility.ivy, grant=grant, because=WHY)
    assert facility.bob.as_actor().has(Role.AUDITOR)


def test_the_last_administrator_stays(facility: Facility) -> None:
    grant = give(facility, facility.ada, Role.ADMINISTRATOR)
    RoleGrant.objects.filter(user=facility.ivy).update(until=soon(-1))
    with pytest.raises(Conflict, match="somebody else"):
        end_role(acting_user=facility.ada, grant=grant, because=WHY)
    blocked = person("bea", "Bea Blocked")
    RoleGrant.objects.create(user=blocked, role=Role.ADMINISTRATOR, because="x", source="test")
    User.objects.filter(pk=blocked.pk).update(is_active=False)
    with pytest.raises(Conflict, match="somebody else"):
        end_role(acting_user=facility.ada, grant=grant, because=WHY)
    User.objects.filter(pk=blocked.pk).update(is_active=True)
    end_role(acting_user=facility.ada, grant=grant, because=WHY)


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_end_each_other_at_once_leave_one(facility: Facility) -> None:
    RoleGrant.objects.filter(role=Role.ADMINISTRATOR).delete()
    pair = [facility.ada, facility.bob]
    grants = [
        RoleGrant.objects.create(user=u, role=Role.ADMINISTRATOR, because="x", source="person:1", until=soon())
        for u in pair
    ]
    together, answers = threading.Barrier(2), []

    def end(acting: User, grant: RoleGrant) -> None:
        together.wait()
        try:
            end_role(acting_user=acting, grant=grant, because=WHY)
            answers.append("ended")
        except (Conflict, Denied) as error:
            answers.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=end, args=pairing) for pairing in zip(pair, reversed(grants), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers)[-1] == "ended" and len(set(answers)) == 2
    assert RoleGrant.objects.in_force(timezone.now()).filter(role=Role.ADMINISTRATOR).count() == 1


def test_a_role_ends_on_its_date_with_a_row_and_a_word_to_whoever_had_it(facility: Facility, told: list[Any]) -> None:
    grant = give(facility, facility.bob, until=soon(10))
    before = RoleGrant.objects.filter(ended=None).count()
    assert end_expired(grant.until - timedelta(seconds=1)) == 0
    assert end_expired(grant.until) == 1
    assert end_expired(grant.until) == 0
    assert told[-1] == ({facility.bob.pk}, "you are no longer IT support: its end date")
    row = AuditEvent.objects.get(action="role.end")
    assert (row.actor_id, row.because, row.target) == (None, "its end date", f"user:{facility.bob.pk}")
    assert RoleGrant.objects.filter(ended=None).count() == before - 1


def test_many_ends_at_once_are_taken_in_turns(facility: Facility) -> None:
    people = [person(f"p{n}", f"P {n}") for n in range(BATCH + 3)]
    RoleGrant.objects.bulk_create(
        RoleGrant(user=who, role=Role.AUDITOR, because="x", source="catalogue:files", until=soon(1)) for who in people
    )
    assert [end_expired(soon(2)) for _ in range(3)] == [BATCH, 3, 0]


@pytest.mark.django_db(transaction=True)
def test_what_one_worker_holds_another_leaves_alone(facility: Facility) -> None:
    give(facility, facility.bob, until=soon(1))
    held, looked = threading.Event(), threading.Event()

    def first() -> None:
        from django.db import transaction

        with transaction.atomic():
            list(RoleGrant.objects.filter(user=facility.bob).select_for_update())
            held.set()
            looked.wait(5)
        connections.close_all()

    worker = threading.Thread(target=first)
    worker.start()
    assert held.wait(5)
    assert end_expired(soon(2)) == 0
    looked.set()
    worker.join()
    assert end_expired(soon(2)) == 1


def form(**fields: str) -> dict[str, str]:
    day = f"{timezone.now() + timedelta(days=30):%Y-%m-%d}"
    return {"person": "bob", "role": "it_support", "until": day, "because": WHY} | fields


def test_the_form_gives_a_role_until_the_chosen_day_is_over(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    address = reverse("instances:administration_grant")
    filled = client.get(f"{address}?person=bob").content.decode()
    assert 'value="bob"' in filled
    answer = client.post(address, form())
    assert answer.status_code == 302, answer.content.decode()
    grant = RoleGrant.objects.get(user=facility.bob)
    assert grant.until and f"{grant.until - timedelta(seconds=1):%Y-%m-%d}" == form()["until"]
    assert "Bob Maes is IT support until" in client.get(answer["Location"]).content.decode()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"person": "nobody"}, "Nobody has this login"),
        ({"role": "emperor"}, "Choose a role"),
        ({"until": "tomorrow"}, "last day"),
        ({"until": "9999-12-31"}, "last day"),
        ({"role": "local_contact", "experiment": "hc-99"}, "no experiment with this key"),
        ({"role": "instrument_scientist"}, "Choose the instrument"),
        ({"role": "instrument_scientist", "instrument": "id99"}, "no such instrument"),
        ({"because": "\0short"}, "10 to 200 characters"),
    ],
)
def test_the_form_keeps_what_was_typed_and_says_what_is_wrong(
    facility: Facility, signed_in: As, fields: dict[str, str], sentence: str
) -> None:
    answer = signed_in(facility.ivy).post(reverse("instances:administration_grant"), form(**fields))
    text = answer.content.decode()
    assert answer.status_code == 422 and sentence in text and "is-invalid" in text
    assert not RoleGrant.objects.filter(user=facility.bob).exists()


def test_a_local_contact_is_named_by_proposal_or_by_key(facility: Facility, signed_in: As) -> None:
    client, address = signed_in(facility.ivy), reverse("instances:administration_grant")
    assert client.post(address, form(role="local_contact", experiment="HC-1")).status_code == 302
    assert client.post(address, form(role="local_contact", experiment=facility.other.key)).status_code == 302
    assert facility.bob.as_actor().experiments == {facility.running.pk, facility.other.pk}


def test_the_form_ends_a_role_and_not_one_from_elsewhere(facility: Facility, signed_in: As) -> None:
    client = signed_in(facility.ivy)
    grant = give(facility, facility.bob)
    address = reverse("instances:administration_end", args=[grant.pk])
    assert client.post(address, {"because": "short"}).status_code == 422
    assert client.post(address, {"because": WHY}).status_code == 302
    assert client.post(address, {"because": WHY}).status_code == 409
    elsewhere = RoleGrant.objects.get(user=facility.eve)
    page = client.get(reverse("instances:administration_end", args=[elsewhere.pk])).content.decode()
    assert "cannot be ended here" in page and "<textarea" not in page


def test_the_list_is_filtered_by_role_source_end_and_words(facility: Facility, signed_in: As) -> None:
    give(facility, facility.bob, until=soon(3))
    client, address = signed_in(facility.aud), reverse("instances:administration_roles")

    def names(query: str) -> set[str]:
        text = client.get(f"{address}?{query}").content.decode()
        return {name for name in ("Bob Maes", "Eve Noll", "Ivy Operator", "Sci Entist") if f">{name}</a>" in text}

    assert names("") == {"Bob Maes", "Eve Noll", "Ivy Operator", "Sci Entist"}
    assert names("role=it_support") == {"Bob Maes", "Eve Noll"}
    assert names("role=it_support&source=catalogue") == {"Eve Noll"}
    assert names("source=person") == names("ending=soon") == {"Bob Maes"}
    assert names("search=id11") == {"Sci Entist"}
    assert "No role fits" in client.get(f"{address}?role=nonsense").content.decode()
