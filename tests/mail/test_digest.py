"""Once a day, one mail with everything that was collected."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from instances.mail.digest import make_digests
from instances.mail.send import send
from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import notify
from instances.services.mail_preferences import next_digest
from tests.facility import Facility, instance

from .server import Mailbox
from .test_notify import jobs, prefer

MORNING = datetime(2026, 11, 26, 6, 0, 5, tzinfo=UTC)


@pytest.fixture
def collected(facility: Facility) -> Facility:
    """Two things for Ada and one for Bob on the day before, one for Ada a moment after the hour."""
    for person in (facility.ada, facility.bob):
        prefer(person, stopped="daily", created="daily")
    row = instance(facility, facility.ada, name="Rings")
    notify(facility.ada, Kind.CREATED, key="1", instance=row)
    notify(facility.ada, Kind.STOPPED, key="2", instance=row, reason="It was idle")
    notify(facility.bob, Kind.STOPPED, key="3", instance=row)
    notify(facility.ada, Kind.STOPPED, key="4", instance=row)
    for key in "123":
        Mail.objects.filter(key=key).update(created=MORNING - timedelta(hours=9 - int(key)))
    Mail.objects.filter(key="4").update(created=MORNING - timedelta(seconds=4))
    assert set(Mail.objects.values_list("fate", flat=True)) == {Fate.COLLECTED} and not jobs()
    return facility


def test_a_digest_holds_what_was_collected_before_its_hour_and_is_made_once(
    collected: Facility, mailbox: Mailbox
) -> None:
    assert make_digests(MORNING - timedelta(seconds=10)) == 0
    assert make_digests(MORNING) == 2
    assert make_digests(MORNING + timedelta(hours=5)) == 0
    for mail in Mail.objects.filter(kind=Kind.DIGEST):
        send(mail.pk)
    ada, bob = sorted(mailbox.messages, key=lambda message: message["To"])
    assert ada["Subject"] == "2 things happened at VISA"
    assert bob["Subject"] == "“Rings” has been stopped"
    text = ada.get_body(("plain",)).get_content()
    assert text.index("You launched “Rings”") < text.index("“Rings” has been stopped") < text.index("It was idle.")
    assert "Wednesday 25 November 2026 at 22:00 UTC" in text
    sent = Mail.objects.filter(key__in="123")
    assert {(mail.fate, mail.address, bool(mail.sent)) for mail in sent} == {
        (Fate.SENT, "ada@example.org", True),
        (Fate.SENT, "bob@example.org", True),
    }
    assert Mail.objects.get(key="4").fate == Fate.COLLECTED
    assert make_digests(MORNING + timedelta(days=1)) == 1


def test_a_digest_that_is_refused_says_so_of_everything_in_it(collected: Facility, mailbox: Mailbox) -> None:
    mailbox.recipients = ["550 No such user"]
    make_digests(MORNING)
    send(Mail.objects.get(kind=Kind.DIGEST, to=collected.bob).pk)
    part = Mail.objects.get(key="3")
    assert part.fate == Fate.FAILED and "550 No such user" in part.trouble


@pytest.mark.django_db(transaction=True)
def test_three_workers_make_one_digest(collected: Facility) -> None:
    start = threading.Barrier(3)
    made: list[int] = []

    def work() -> None:
        start.wait()
        made.append(make_digests(MORNING))
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(made) == Mail.objects.filter(kind=Kind.DIGEST).count() == len(jobs()) == 2
    assert not Mail.objects.filter(key__in="123", digest=None).exists()


def test_its_hour_is_the_facility_s(settings: Any) -> None:
    settings.DIGEST_HOUR = 22
    assert next_digest(MORNING) == MORNING.replace(hour=22, second=0)
    assert next_digest(MORNING.replace(hour=22, minute=0, second=0)) == MORNING.replace(day=27, hour=22, second=0)
    assert next_digest(timezone.now()) > timezone.now()
