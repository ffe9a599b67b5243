"""The administration's pages of mail: finding one, reading it, sending it again."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from auth.models import AuditEvent, User
from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import row_of
from tests.facility import Facility, instance

from .conftest import As, Browse

LIST = reverse("instances:administration_mail")


@pytest.fixture
def ivy(facility: Facility, signed_in: As, settings: Any) -> Client:
    settings.SENDS_MAIL = True
    return signed_in(facility.ivy)


def made(facility: Facility, person: User, fate: Fate, **fields: Any) -> Mail:
    row = instance(facility, person, name=f"Of {person.username}")
    mail = row_of(person, Kind.FAILED, key=f"{fate}", fate=fate, instance=row, facts={"reason": "No place"}, **fields)
    mail.save()
    return mail


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def test_mails_are_found_by_person_address_reference_and_fate(facility: Facility, ivy: Client) -> None:
    ada = made(facility, facility.ada, Fate.SENT, address="ada@example.org")
    made(facility, facility.bob, Fate.FAILED, trouble="550 No such user")
    for query in ("search=lind", "search=ada@example", f"search={ada.pk.hex}", "fate=sent"):
        assert "Of ada" in (found := text(ivy, f"{LIST}?{query}")) and "Of bob" not in found, query
    assert "550 No such user" in text(ivy, f"{LIST}?kind=failed&fate=failed")
    assert "No mail fits" in text(ivy, f"{LIST}?search=nobody&page=7")


def test_the_list_is_paged_by_the_database(facility: Facility, ivy: Client, django_assert_max_num_queries: Any) -> None:
    Mail.objects.bulk_create(row_of(facility.ada, Kind.ALERT, key=f"{n}", fate=Fate.SENT) for n in range(120))
    with django_assert_max_num_queries(12):
        assert "Page 2 of 3" in text(ivy, f"{LIST}?page=2")


def test_reading_one_shows_what_it_says_and_leaves_a_row(facility: Facility, ivy: Client) -> None:
    mail = made(facility, facility.ada, Fate.SENT)
    page = text(ivy, reverse("instances:administration_letter", args=[mail.pk]))
    assert "“Of ada” has failed" in page and "No place." in page and mail.pk.hex in page
    assert AuditEvent.objects.get(action="mail.read").target == f"mail:{mail.pk}"


def test_one_that_failed_is_sent_again_with_new_patience_and_its_digest_with_it(
    facility: Facility, ivy: Client
) -> None:
    mail = made(facility, facility.ada, Fate.FAILED, trouble="550 No such user", attempts=7)
    part = made(facility, facility.ada, Fate.SKIPPED)
    Mail.objects.filter(pk=part.pk).update(fate=Fate.FAILED, digest=mail)
    address = reverse("instances:administration_resend", args=[mail.pk])
    assert "Send it again?" in text(ivy, address)
    assert "It is on its way again." in ivy.post(address, follow=True).content.decode()
    mail.refresh_from_db()
    part.refresh_from_db()
    assert (mail.fate, mail.attempts, mail.trouble, part.fate) == (Fate.WAITING, 0, "", Fate.COLLECTED)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE queueing_lock = %s", [f"mail:{mail.pk}"])
        assert cursor.fetchone() == (1,)
    assert AuditEvent.objects.get(action="mail.resend").actor_id == facility.ivy.pk
    for other in (mail, part):
        answer = ivy.post(reverse("instances:administration_resend", args=[other.pk]))
        assert answer.status_code == 409 and "Only a mail that failed" in answer.content.decode()


def test_the_overview_says_that_there_is_no_server_and_what_waits(
    facility: Facility, ivy: Client, settings: Any
) -> None:
    made(facility, facility.ada, Fate.FAILED)
    assert "No mail server" not in (page := text(ivy, "/administration/")) and "?fate=failed" in page
    settings.SENDS_MAIL = False
    assert "No mail server is configured" in text(ivy, "/administration/")
    assert ivy.post(reverse("instances:administration_resend", args=[Mail.objects.get().pk])).status_code == 409


@pytest.mark.django_db(transaction=True)
def test_axe_finds_nothing_on_the_pages_of_mail(facility: Facility, browse: Browse) -> None:
    from tests.pages.test_accessibility import troubles

    mail = made(facility, facility.ada, Fate.FAILED, trouble="The mail server refuses the address: 550 No such user")
    made(facility, facility.bob, Fate.SENT, address="bob@example.org")
    for dark in (False, True):
        page = browse(facility.ivy, dark=dark)
        for address in (LIST, f"{LIST}{mail.pk}/", f"{LIST}{mail.pk}/resend/", "/account/mail/"):
            page.goto(address)
            assert troubles(page) == [], address
    page = browse(facility.ada, width=375, height=740)
    page.goto("/account/mail/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
