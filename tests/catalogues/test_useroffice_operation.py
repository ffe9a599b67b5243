"""Running a User Office's consumer: permissions, what administrators see, the worker, and the dead letters' command."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pika.exceptions import AMQPError

from auth import rights
from auth.catalogues.useroffice import broker
from auth.catalogues.useroffice.broker import Office
from auth.catalogues.wire import Account
from auth.models import CatalogueRun

from .offices import DEAD, QUEUE, SOURCE, both, catalogues, consuming, dead, office, parts, person, proposal, until
from .rabbit import Publisher, Rabbit

pytestmark = pytest.mark.django_db(transaction=True)
LIMBO = "newStatus 'LIMBO': the configuration does not say what that means"


def test_the_permissions_that_are_documented_are_enough(tmp_path: Path, rabbit: Rabbit, publish: Publisher) -> None:
    page = (Path(__file__).parents[2] / "docs/howto/user-office.md").read_text()
    configure, write, read = re.findall(r"^ +'(\^.*\$)'", page, re.MULTILINE)
    rabbit.control("add_user", "portal", "p")
    rabbit.control("set_permissions", "-p", "/", "portal", configure, write, read)
    mine = office(tmp_path, rabbit.port, account=Account("portal", "p"))
    with consuming(mine):
        until(lambda: listened_to(publish))
        publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"))
        publish("PROPOSAL_UPDATED", proposal(2))
        until(lambda: parts("100002") == both() and publish.waiting(DEAD) == 1)
    with broker.connected(mine, purpose="a test") as line:
        assert broker.replay(line, mine) == 1
    with pytest.raises(AMQPError), broker.connected(mine, purpose="a test") as line:
        line.channel().exchange_declare("somebody_elses", "fanout")


def listened_to(publish: Publisher) -> bool:
    try:
        return publish.listeners(QUEUE) > 0
    except AMQPError:
        publish.reopen()
        return False


def test_a_message_that_changed_something_or_could_not_leaves_a_run(portal: Office, publish: Publisher) -> None:
    publish("PROPOSAL_UPDATED", proposal(1, members=[person("bob", oidcSub=None)]))
    publish("PROPOSAL_UPDATED", proposal(1, members=[person("bob", oidcSub=None)]))
    publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"))
    with consuming(portal):
        until(lambda: publish.waiting(DEAD) == 1)
    applied, put_aside = CatalogueRun.objects.order_by("began")
    assert (applied.name, applied.outcome, applied.counts["participation.add"]) == (SOURCE, "applied", 1)
    assert applied.notes == ["left out 1 people who have not signed in to User Office yet: user 307"]
    assert (put_aside.outcome, put_aside.counts) == ("invalid", {})
    assert put_aside.problems == [LIMBO]
    assert applied.ended and put_aside.ended


def test_a_mistake_of_the_portals_puts_the_message_aside_and_goes_on(portal: Office, publish: Publisher) -> None:
    """Whoever listens to changed rights may fail; their failure undoes the change, and must not stop the queue."""

    def fail(**_: Any) -> None:
        raise RuntimeError("a listener's own mistake")

    with consuming(portal):
        publish("PROPOSAL_UPDATED", proposal(1))
        until(lambda: parts() == both())
        rights.changed.connect(fail)
        try:
            publish("PROPOSAL_UPDATED", proposal(1, members=[]))
            publish("PROPOSAL_UPDATED", proposal(2))
            until(lambda: parts("100002") == both())
        finally:
            rights.changed.disconnect(fail)
    assert parts() == both()
    assert dead(portal) == ["the portal's fault: RuntimeError"]


def test_neither_the_account_nor_what_messages_say_is_logged(
    tmp_path: Path, rabbit: Rabbit, portal: Office, publish: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"))
    publish("PROPOSAL_UPDATED", proposal(2))
    wrong = office(tmp_path, rabbit.port, account=Account("portal-account", "the portal's own secret"))
    with consuming(portal, wrong):
        until(lambda: parts("100002") == both())
        until(lambda: "no message broker" in caplog.text)
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("auth", "pika"))]
    assert not any(secret in line for line in said for secret in ("secret", "bob", "@example.org", "What 1 is about"))


def test_a_mistake_that_passes_is_survived_without_a_dead_letter(portal: Office, publish: Publisher) -> None:
    failures = [RuntimeError("once"), RuntimeError("twice")]

    def stumble(**_: Any) -> None:
        if failures:
            raise failures.pop()

    with consuming(portal):
        publish("PROPOSAL_UPDATED", proposal(1))
        until(lambda: parts() == both())
        rights.changed.connect(stumble)
        try:
            publish("PROPOSAL_UPDATED", proposal(1, members=[]))
            until(lambda: parts() == {("ann", "principal_investigator")})
        finally:
            rights.changed.disconnect(stumble)
    assert dead(portal) == []


def test_a_database_that_is_not_migrated_yet_is_waited_for(portal: Office, publish: Publisher) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visa_auth_officeproposal RENAME TO visa_auth_to_come")
    try:
        with consuming(portal):
            publish("PROPOSAL_UPDATED", proposal(1))
            time.sleep(3)
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE visa_auth_to_come RENAME TO visa_auth_officeproposal")
            until(lambda: parts() == both())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE IF EXISTS visa_auth_to_come RENAME TO visa_auth_officeproposal")
    assert dead(portal) == []


def test_a_broker_is_believed_only_with_the_certificate_of_one_whom_we_trust(
    tmp_path: Path, rabbit: Rabbit, portal: Office, publish: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"amqps://localhost:{rabbit.tls_port}"
    stranger = office(tmp_path, 0, url=url)
    friend = office(tmp_path, 0, url=url, ca=os.path.relpath(rabbit.ca, tmp_path))
    publish("PROPOSAL_UPDATED", proposal(1))
    with consuming(stranger):
        until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        assert not parts()
    with consuming(friend):
        until(lambda: parts() == both())


@contextlib.contextmanager
def worker(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    found = subprocess.Popen(
        [sys.executable, "manage.py", "worker"],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment | {"DATABASE_URL": address.geturl()},
    )
    try:
        yield found
    finally:
        found.kill()
        found.wait(10)


def test_a_worker_listens_and_ends_within_two_seconds(
    tmp_path: Path, rabbit: Rabbit, portal: Office, publish: Publisher
) -> None:
    publish("PROPOSAL_UPDATED", proposal(1))
    with worker(catalogues(tmp_path, rabbit.port)) as process:
        until(lambda: parts() == both(), 60)
        until(lambda: publish.waiting(QUEUE) == 0)
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
    took = time.monotonic() - began
    print(f"the worker ended after {took:.1f} s")
    assert took < 2.5


def test_dead_letters_are_listed_and_replayed_by_a_command(
    tmp_path: Path, rabbit: Rabbit, portal: Office, publish: Publisher, settings: Any
) -> None:
    given = catalogues(tmp_path, rabbit.port)
    settings.CATALOGUES, settings.CATALOGUE_ACCOUNTS = given.pop("VISA_CATALOGUES"), given
    publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"))
    with consuming(portal):
        until(lambda: publish.waiting(DEAD) == 1)
    out = StringIO()
    call_command("replay_user_office", SOURCE, "--list", stdout=out)
    assert re.fullmatch(rf"\S+Z PROPOSAL_UPDATED: {re.escape(LIMBO)}\n1 dead letters\n", out.getvalue())
    assert publish.waiting(DEAD) == 1
    call_command("replay_user_office", SOURCE, stdout=out)
    assert out.getvalue().endswith("1 messages are in the queue again\n")
    assert (publish.waiting(DEAD), publish.waiting(QUEUE)) == (0, 1)
    with pytest.raises(CommandError, match="There is no User Office 'nowhere' in VISA_CATALOGUES; there are: office"):
        call_command("replay_user_office", "nowhere")
