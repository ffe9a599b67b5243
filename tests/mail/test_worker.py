"""`manage.py worker` runs the queue: procrastinate wakes, tries again, and stops when it is told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import settings

from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import notify
from tests.facility import person

from .conftest import clear_jobs
from .server import Mailbox
from .test_crash import database_url, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workers(db: None, mailbox: Mailbox) -> Iterator[list["subprocess.Popen[bytes]"]]:
    clear_jobs()
    environment = dict(os.environ) | {
        "DATABASE_URL": database_url(),
        "VISA_EMAIL_URL": f"smtp://127.0.0.1:{settings.EMAIL_PORT}",
    }
    command = [sys.executable, str(settings.ROOT / "manage.py"), "worker"]
    started = [subprocess.Popen(command, env=environment) for _ in range(2)]
    yield started
    for worker in started:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def test_two_workers_send_each_mail_once_and_what_was_refused_again_after_a_while(
    workers: list["subprocess.Popen[bytes]"], mailbox: Mailbox
) -> None:
    mailbox.answers = ["451 Try again later"]
    ada = person("ada", "Ada Lind")
    ada.email = "ada@example.org"
    ada.save()
    begun = time.monotonic()
    for n in range(8):
        notify(ada, Kind.ALERT, key=f"{n}", title=f"Number {n}")
    wait_until(lambda: Mail.objects.filter(fate=Fate.SENT).count() == 8, patience=60)
    assert time.monotonic() - begun > 7, "the second attempt waited"
    assert sorted(message["Subject"] for message in mailbox.messages) == [f"Number {n}" for n in range(8)]
    assert sorted(Mail.objects.values_list("attempts", flat=True)) == [1] * 7 + [2]
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(20) for worker in workers] == [0, 0]
