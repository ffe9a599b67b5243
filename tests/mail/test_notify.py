"""What becomes of a mail is decided, and committed, with what it tells."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from auth.access import Role
from auth.models import RoleGrant, User
from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import notify, notify_administrators
from tests.facility import Facility, instance


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT queueing_lock FROM procrastinate_jobs WHERE queue_name = 'mail' AND status = 'todo'")
        return [row[0] for row in cursor.fetchall()]


def prefer(person: User, **choices: str) -> None:
    User.objects.filter(pk=person.pk).update(preferences={"mail": choices})


def test_a_mail_and_its_job_are_made_together_once_for_each_key(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    for _ in range(2):
        notify(facility.ada, Kind.CREATED, key=f"created:{row.pk}", instance=row, until=timezone.now())
    mail = Mail.objects.get()
    assert (mail.to, mail.kind, mail.instance, mail.fate) == (facility.ada, "created", row, Fate.WAITING)
    assert jobs() == [f"mail:{mail.pk}"]
    notify(facility.bob, Kind.SHARED, key=f"created:{row.pk}", instance=row)
    assert Mail.objects.count() == len(jobs()) == 2


def test_what_is_rolled_back_is_not_told(facility: Facility) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(facility.ada, Kind.CREATED, key="k")
        raise ZeroDivisionError
    assert not Mail.objects.exists() and not jobs()


def skipped(person: User) -> str:
    notify(person, Kind.CREATED, key="k")
    mail = Mail.objects.get()
    assert mail.fate == Fate.SKIPPED and not jobs()
    return mail.trouble


def test_blocked_people_get_none_whichever_of_their_identities_it_is(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada, is_active=False)
    assert skipped(facility.ada) == "Their account is blocked."


def test_without_an_address_it_is_recorded_and_not_sent(facility: Facility) -> None:
    User.objects.filter(pk=facility.ada.pk).update(email="")
    assert skipped(facility.ada) == "No e-mail address of theirs is known."


def test_without_a_server_it_is_recorded_and_not_sent(facility: Facility, settings: Any) -> None:
    settings.SENDS_MAIL = False
    assert skipped(facility.ada) == "No mail server is configured."


def test_what_somebody_does_not_want_is_not_sent(facility: Facility) -> None:
    prefer(facility.ada, created="never")
    assert skipped(facility.ada) == "They want no mail about this."


def test_a_linked_identity_s_mail_is_the_account_s_and_goes_to_whichever_address_there_is(facility: Facility) -> None:
    User.objects.filter(pk=facility.bob.pk).update(linked_to=facility.ada)
    User.objects.filter(pk=facility.ada.pk).update(email="")
    notify(User.objects.get(pk=facility.bob.pk), Kind.CREATED, key="k")
    assert Mail.objects.get().to == facility.ada and jobs()


def test_a_deletion_is_always_warned_of_and_waits_for_no_digest_that_would_come_too_late(facility: Facility) -> None:
    prefer(facility.ada, deletion_warning="never")
    notify(facility.ada, Kind.DELETION_WARNING, key="1", at=timezone.now() + timedelta(days=2))
    prefer(facility.ada, deletion_warning="daily")
    notify(facility.ada, Kind.DELETION_WARNING, key="2", at=timezone.now() + timedelta(days=2))
    notify(facility.ada, Kind.DELETION_WARNING, key="3", at=timezone.now() + timedelta(hours=11))
    fates = dict(Mail.objects.values_list("key", "fate"))
    assert fates == {"1": Fate.WAITING, "2": Fate.COLLECTED, "3": Fate.WAITING}


def test_every_administrator_is_told_once_however_many_grants_and_identities(facility: Facility) -> None:
    User.objects.filter(pk=facility.aud.pk).update(linked_to=facility.ivy)
    RoleGrant.objects.create(user=facility.aud, role=Role.ADMINISTRATOR, because="test", source="claim:x")
    RoleGrant.objects.create(user=facility.sci, role=Role.ADMINISTRATOR, because="test", source="test")
    RoleGrant.objects.create(
        user=facility.bob,
        role=Role.ADMINISTRATOR,
        because="test",
        source="test",
        until=timezone.now() - timedelta(days=1),
    )
    for _ in range(2):
        notify_administrators(Kind.ALERT, key="k", title="A cloud is silent")
    assert set(Mail.objects.values_list("to__username", flat=True)) == {"ivy", "sci"}
