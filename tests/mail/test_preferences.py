"""The page on which people choose what they are told, and when."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from auth.models import AuditEvent, User
from instances.errors import Invalid
from instances.models.mail import Kind
from instances.services.mail import notify
from instances.services.mail_preferences import CHOICES, Timing, choose, chosen
from tests.facility import Facility, instance

ADDRESS = reverse("instances:mail")


@pytest.fixture
def client(facility: Facility) -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(facility.ada)
    return client


def text(client: Client) -> str:
    return client.get(ADDRESS).content.decode()


def test_every_kind_can_be_chosen_but_the_digest_itself() -> None:
    assert set(CHOICES) == set(Kind) - {Kind.DIGEST}
    assert all(choice.about.endswith(".") and choice.offered[0] is Timing.NOW for choice in CHOICES.values())


def test_a_choice_is_kept_recorded_and_changes_nothing_else(facility: Facility, client: Client) -> None:
    User.objects.filter(pk=facility.ada.pk).update(preferences={"launch": {"flavour": "s"}})
    answer = client.post(ADDRESS, {"created": "never", "stopped": "now", "failed": "daily"}, follow=True)
    assert "Your choice is kept." in answer.content.decode()
    ada = User.objects.get(pk=facility.ada.pk)
    assert ada.preferences == {"launch": {"flavour": "s"}, "mail": {"created": "never", "failed": "daily"}}
    row = AuditEvent.objects.get()
    assert (row.action, row.actor_id, row.detail) == ("mail.choose", ada.pk, {"created": "never", "failed": "daily"})
    answer = client.post(ADDRESS, {"created": "never"}, follow=True)
    assert "Nothing was changed." in answer.content.decode() and AuditEvent.objects.count() == 1


def test_what_is_not_offered_is_refused_beside_the_field_and_nothing_is_kept(
    facility: Facility, client: Client
) -> None:
    answer = client.post(ADDRESS, {"deletion_warning": "never", "created": "daily"})
    assert answer.status_code == 422 and "Choose at once or once a day." in answer.content.decode()
    assert User.objects.get(pk=facility.ada.pk).preferences == {}
    with pytest.raises(Invalid):
        choose(acting_user=facility.ada, wanted={"created": "sometimes"})


def test_only_administrators_choose_what_only_administrators_are_told(facility: Facility, client: Client) -> None:
    assert 'name="alert"' not in text(client)
    client.post(ADDRESS, {"alert": "daily"})
    assert chosen(Kind.ALERT, User.objects.get(pk=facility.ada.pk)) is Timing.NOW
    client.force_login(facility.ivy)
    assert 'name="alert"' in text(client)
    client.post(ADDRESS, {"alert": "daily"})
    assert chosen(Kind.ALERT, User.objects.get(pk=facility.ivy.pk)) is Timing.DAILY


def test_the_page_says_where_mails_go_or_why_they_do_not(facility: Facility, client: Client, settings: Any) -> None:
    assert "ada@example.org" in text(client) and "Nothing can be sent" not in text(client)
    User.objects.filter(pk=facility.ada.pk).update(email="")
    assert "Nothing can be sent to you" in text(client)
    settings.SENDS_MAIL = False
    assert "no mail server" in text(client)


def test_one_sees_one_s_own_last_mails_and_nobody_else_s(facility: Facility, client: Client) -> None:
    for person in (facility.ada, facility.bob):
        notify(person, Kind.FAILED, key="k", instance=instance(facility, person, name=f"Of {person.username}"))
    assert "Of ada" in text(client) and "Of bob" not in text(client)


def test_visitors_are_sent_to_sign_in(client: Client) -> None:
    client.logout()
    assert client.get(ADDRESS).status_code == client.post(ADDRESS).status_code == 302
