"""A worker that dies: before the server's answer is written down nobody can know, and the mail says so."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from instances.mail.send import send, sweep
from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import notify
from tests.facility import Facility

from .conftest import clear_jobs
from .server import Mailbox
from .test_notify import jobs
from .test_send import fresh

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_killed_between_the_server_s_ok_and_the_commit_leads_to_the_same_mail_twice_and_no_more(
    facility: Facility, mailbox: Mailbox
) -> None:
    notify(facility.ada, Kind.CREATED, key="k")
    mail = Mail.objects.get()
    clear_jobs()
    worker = start(mail)
    # Once the worker has claimed the row it is locked here: the worker hears the server's OK and cannot write it down.
    mailbox.hook = lambda message: wait_until(lambda: locked.get("yes", False))
    locked: dict[str, bool] = {}
    wait_until(lambda: fresh(mail).claim is not None)
    with transaction.atomic():
        Mail.objects.select_for_update().get(pk=mail.pk)
        locked["yes"] = True
        wait_until(somebody_waits_for_a_lock)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert len(mailbox.messages) == 1
    claimed = fresh(mail)
    assert (claimed.fate, claimed.attempts) == (Fate.WAITING, 1)

    send(mail.pk)
    assert len(mailbox.messages) == 1, "the claim is honoured as long as it lasts"
    Mail.objects.update(claim_until=timezone.now() - timedelta(seconds=1), due=timezone.now())
    assert sweep() == 1 and jobs() == [f"mail:{mail.pk}"]
    send(mail.pk)
    send(mail.pk)
    first, second = mailbox.messages
    assert first["Message-ID"] == second["Message-ID"]
    done = fresh(mail)
    assert (done.fate, done.attempts) == (Fate.SENT, 2)
    assert done.trouble == "A worker ended while it sent this: it may arrive twice, under the same Message-ID."


def test_a_slow_worker_whose_claim_ran_out_changes_nothing_of_what_the_next_one_wrote(
    facility: Facility, mailbox: Mailbox
) -> None:
    notify(facility.ada, Kind.CREATED, key="k")
    mail = Mail.objects.get()

    def overtaken(_: object) -> None:
        mailbox.hook = lambda message: None
        Mail.objects.filter(pk=mail.pk).update(claim_until=timezone.now() - timedelta(seconds=1))
        send(mail.pk)
        connection.close()

    mailbox.hook = overtaken
    send(mail.pk)
    done = fresh(mail)
    assert (done.fate, done.attempts) == (Fate.SENT, 2)
    assert len(mailbox.messages) == 2


def start(mail: Mail) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.mail.worker", database_url(), str(settings.EMAIL_PORT), str(mail.pk)]
    return subprocess.Popen(command)


def database_url() -> str:
    """Of the database that the tests have made for themselves."""
    return urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def wait_until(ready, patience: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
