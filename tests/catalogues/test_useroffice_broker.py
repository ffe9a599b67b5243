"""A User Office's messages through a real RabbitMQ into the portal's rows, and every way in which the wire fails."""

import contextlib
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from auth import rights
from auth.catalogues.useroffice import broker
from auth.catalogues.useroffice.apply import apply
from auth.catalogues.useroffice.broker import Office
from auth.models import AuditEvent, Experiment, OfficeProposal, Participation, Proposal, User

from .offices import DEAD, QUEUE, SOURCE, both, consuming, dead, load, office, parts, person, proposal, settings, until
from .rabbit import Cutter, Publisher, Rabbit

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_proposal_arrives_with_its_people(portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        publish("PROPOSAL_STATUS_ACTION_EXECUTED", proposal(1))
        until(lambda: parts() == both())
    found = Proposal.objects.get()
    assert (found.title, found.source) == ("What 1 is about, é and ☃", f"catalogue:{SOURCE}")
    assert Experiment.objects.get().instrument.code == "loki"
    assert AuditEvent.objects.get().target == f"catalogue:{SOURCE}"
    assert publish.waiting(QUEUE) == 0


def test_a_removed_member_loses_their_right_within_a_second(portal: Office, publish: Publisher) -> None:
    told: list[tuple[set[int], float]] = []

    def hear(users: set[int], **_: Any) -> None:
        told.append((users, time.monotonic()))

    with consuming(portal):
        publish("PROPOSAL_UPDATED", proposal(1))
        until(lambda: parts() == both())
        bob = User.objects.get(sub="bob").pk
        rights.changed.connect(hear)
        try:
            began = time.monotonic()
            publish("PROPOSAL_UPDATED", proposal(1, members=[]))
            until(lambda: ("bob", "participant") not in parts())
            rows_after = time.monotonic() - began
        finally:
            rights.changed.disconnect(hear)
    users, heard = told[-1]
    print(f"rows after {rows_after * 1000:.0f} ms, signal after {(heard - began) * 1000:.0f} ms")
    assert users == {bob}
    assert heard - began < 1.0
    assert rows_after < 1.0


@pytest.mark.parametrize(
    ("event", "changes"),
    [("PROPOSAL_DELETED", {"members": [], "newStatus": None}), ("PROPOSAL_UPDATED", {"newStatus": "EXPIRED"})],
)
def test_a_proposal_that_is_deleted_or_over_is_nobodys(
    portal: Office, publish: Publisher, event: str, changes: dict[str, Any]
) -> None:
    with consuming(portal):
        publish("PROPOSAL_UPDATED", proposal(1))
        until(lambda: parts() == both())
        publish(event, proposal(1, **changes))
        until(lambda: not parts())
    assert Proposal.objects.exists() is (event != "PROPOSAL_DELETED")


def test_nothing_comes_back_after_a_proposal_was_deleted(portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        publish("PROPOSAL_DELETED", proposal(1, members=[]))
        publish("PROPOSAL_UPDATED", proposal(1))
        publish("PROPOSAL_UPDATED", proposal(2))
        until(lambda: parts("100002") == both())
    assert not parts()


def test_a_code_that_changes_takes_its_experiments_with_it(portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        publish("PROPOSAL_CREATED", proposal(1, shortCode="draft-1"))
        until(lambda: parts("draft-1") == both())
        before = Experiment.objects.get().pk
        publish("PROPOSAL_SUBMITTED", proposal(1))
        until(lambda: parts() == both())
    assert not Proposal.objects.filter(code="draft-1").exists()
    assert Experiment.objects.get().pk == before


def test_the_same_message_again_changes_nothing(portal: Office, publish: Publisher) -> None:
    stamp = publish("PROPOSAL_UPDATED", proposal(1))
    for _ in range(3):
        publish("PROPOSAL_UPDATED", proposal(1), at=stamp)
    with consuming(portal):
        until(lambda: publish.waiting(QUEUE) == 0 and parts() == both())
    assert AuditEvent.objects.count() == 1


def test_an_older_message_never_overwrites_a_newer_one(portal: Office, publish: Publisher) -> None:
    now = int(time.time() * 1000)
    publish("PROPOSAL_UPDATED", proposal(1, members=[]), at=now)
    publish("PROPOSAL_UPDATED", proposal(1), at=now - 5000)
    publish("PROPOSAL_UPDATED", proposal(2), at=now - 9000)
    with consuming(portal):
        until(lambda: parts("100002") == both())
    assert parts() == {("ann", "principal_investigator")}
    assert OfficeProposal.objects.get(number=1).at == datetime.fromtimestamp(now / 1000, UTC)


@pytest.mark.parametrize("seed", range(6))
def test_in_whatever_order_and_how_often_they_come_the_newest_state_stands(tmp_path: Path, seed: int) -> None:
    """As they would after dead letters, dead workers and cut connections; here without a wire."""
    chance = random.Random(seed)
    config = load(tmp_path, settings())
    now = int(time.time() * 1000)
    people = [person(who) for who in ("bob", "cyd", "dan")]
    states = [
        proposal(
            1,
            members=chance.sample(people, chance.randrange(4)),
            newStatus=chance.choice(["ALLOCATED", "DRAFT", "EXPIRED"]),
            instruments=[{"id": 1, "shortCode": name} for name in chance.sample(["LOKI", "ODIN"], chance.randrange(3))],
        )
        for _ in range(6)
    ]
    deliveries = [*range(6), *chance.choices(range(6), k=8)]
    chance.shuffle(deliveries)
    for version in deliveries:
        body = json.dumps(states[version]).encode()
        apply("PROPOSAL_UPDATED", now - 1000 + version, body, source=SOURCE, config=config)
    last = states[-1]
    open_ = last["newStatus"] == "ALLOCATED" and last["instruments"]
    expected = {("ann", "principal_investigator"), *((m["oidcSub"], "participant") for m in last["members"])}
    assert parts() == (expected if open_ else set())


POISON: list[dict[str, Any]] = [
    {"raw": b"{"},
    {"message": proposal(1, members=None)},
    {"message": proposal(1, members=[{"oidcSub": "eve"}])},
    {"message": proposal(1, instruments=[{"id": 9, "shortCode": "NEW"}])},
    {"message": proposal(1, newStatus="LIMBO")},
    {"message": proposal(1), "at": 0},
    {"message": proposal(3, shortCode="100001")},
    {"message": proposal(1, title="\x00", members=[person("eve", lastName="\ud800", oidcSub="\ud800")])},
]
REASONS = [
    "the message is no JSON",
    "members must be a list",
    "members, number 1: there is no oauthIssuer",
    "instrument 'NEW': the configuration does not name it",
    "newStatus 'LIMBO': the configuration does not say what that means",
    "the message has no timestamp: nobody can say what is newer",
    "shortCode '100001' is another proposal's already",
]


def test_poison_between_good_messages_is_put_aside_with_its_reason_and_removes_nothing(
    portal: Office, publish: Publisher
) -> None:
    publish("PROPOSAL_UPDATED", proposal(1))
    for poison in POISON[:-1]:
        publish("PROPOSAL_UPDATED", poison.get("message"), raw=poison.get("raw"), at=poison.get("at"))
    publish("PROPOSAL_UPDATED", proposal(2))
    with consuming(portal):
        until(lambda: parts("100002") == both())
    assert parts() == both()
    assert dead(portal) == REASONS
    assert publish.waiting(QUEUE) == 0


def test_headers_that_cannot_be_read_do_not_stop_the_queue(
    portal: Office, publish: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `amqplib` sends a Date: AMQP counts seconds, JavaScript milliseconds, and Python knows no year 57838."""
    with monkeypatch.context() as patch:
        patch.setattr("pika.data.calendar.timegm", lambda _: int(time.time() * 1000))
        publish("PROPOSAL_UPDATED", proposal(1), headers={"sent": datetime.now(UTC)})
    publish("PROPOSAL_UPDATED", proposal(2))
    with consuming(portal):
        until(lambda: parts("100002") == both())
    assert parts() == both()


def test_a_subject_that_no_database_takes_is_left_out(portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        publish("PROPOSAL_UPDATED", POISON[-1]["message"])
        until(lambda: parts() == {("ann", "principal_investigator")})


def test_dead_letters_are_dealt_with_after_the_configuration_was_mended(
    tmp_path: Path, portal: Office, publish: Publisher
) -> None:
    publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"))
    with consuming(portal):
        until(lambda: publish.waiting(DEAD) == 1)
    mended = office(tmp_path, portal.config.broker.port, statuses={"LIMBO": "access"})
    with broker.connected(mended, purpose="a test") as line:
        assert broker.replay(line, mended) == 1
    with consuming(mended):
        until(lambda: parts() == both())
    assert publish.waiting(DEAD) == 0


def test_a_dead_letter_that_comes_back_late_undoes_nothing(portal: Office, publish: Publisher) -> None:
    publish("PROPOSAL_UPDATED", proposal(1, newStatus="LIMBO"), at=int(time.time() * 1000) - 5000)
    publish("PROPOSAL_UPDATED", proposal(1, members=[]))
    with consuming(portal):
        until(lambda: publish.waiting(DEAD) == 1 and parts())
        with broker.connected(portal, purpose="a test") as line:
            broker.replay(line, portal)
        publish("PROPOSAL_UPDATED", proposal(2))
        until(lambda: parts("100002") == both())
    assert parts() == {("ann", "principal_investigator")}
    assert publish.waiting(DEAD) == 0


def test_a_connection_cut_between_commit_and_acknowledgement_costs_nothing(
    tmp_path: Path, rabbit: Rabbit, portal: Office, publish: Publisher
) -> None:
    publish("PROPOSAL_UPDATED", proposal(1))
    publish("PROPOSAL_UPDATED", proposal(1, members=[]))
    with Cutter(rabbit.port) as wire, consuming(office(tmp_path, wire.port)):
        until(lambda: parts() == {("ann", "principal_investigator")})
        until(lambda: publish.waiting(QUEUE) == 0)
        assert wire.cuts == 1
    assert AuditEvent.objects.count() == 2


def test_a_broker_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    rabbit: Rabbit, portal: Office, publish: Publisher
) -> None:
    many = 60
    for number in range(1, many + 1):
        publish("PROPOSAL_UPDATED", proposal(number))
    with consuming(portal):
        until(lambda: OfficeProposal.objects.count() >= 5)
        rabbit.kill()
        before = OfficeProposal.objects.count()
        assert before < many, "the broker was killed too late to show anything"
        rabbit.start()
        until(lambda: OfficeProposal.objects.count() == many, 60)

    assert Participation.objects.count() == 2 * many
    assert AuditEvent.objects.count() == many


def test_of_two_consumers_one_at_a_time_takes_all_in_order(portal: Office, publish: Publisher) -> None:
    """What the second undoes the first has done: were they to overtake each other, somebody would be left over."""
    now = int(time.time() * 1000)
    for number in range(40):
        team = [person("bob")] if number % 2 else []
        publish("PROPOSAL_UPDATED", proposal(1, members=team, title=f"version {number}"), at=now)
    with consuming(portal, portal):
        until(lambda: Proposal.objects.filter(title="version 39").exists())
        until(lambda: publish.waiting(QUEUE) == 0)
    assert parts() == both()
    assert AuditEvent.objects.count() == 40


def test_a_second_consumer_takes_over_from_one_that_ends(portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        with consuming(portal):
            publish("PROPOSAL_UPDATED", proposal(1))
            until(lambda: parts() == both())
        publish("PROPOSAL_UPDATED", proposal(2))
        until(lambda: parts("100002") == both())


def test_the_queue_waits_while_another_catalogue_is_read_in(portal: Office, publish: Publisher) -> None:
    """Its transaction may last minutes; the broker is answered meanwhile, and nothing is given up."""
    with consuming(portal):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('visa_auth_catalogue'))")
        try:
            publish("PROPOSAL_UPDATED", proposal(1))
            time.sleep(2.5)
            assert not parts()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext('visa_auth_catalogue'))")
        until(lambda: parts() == both())
    assert dead(portal) == []


def test_a_consumer_ends_within_two_seconds_of_being_told(portal: Office) -> None:
    with consuming(portal) as stop:
        time.sleep(0.5)
        stop.set()
        began = time.monotonic()
    assert time.monotonic() - began < 2.0


def test_a_queue_that_is_deleted_is_made_again(rabbit: Rabbit, portal: Office, publish: Publisher) -> None:
    with consuming(portal):
        publish("PROPOSAL_UPDATED", proposal(1))
        until(lambda: parts() == both())
        with contextlib.closing(rabbit.connect()) as line:
            line.channel().queue_delete(QUEUE)
        time.sleep(1.5)
        publish("PROPOSAL_UPDATED", proposal(1, members=[]))
        until(lambda: parts() == {("ann", "principal_investigator")})


def test_an_exchange_that_is_not_there_yet_is_made(tmp_path: Path, rabbit: Rabbit) -> None:
    early = office(tmp_path, rabbit.port, exchange="office_to_come", queue="visa.early")
    with broker.connected(early, purpose="a test") as line:
        broker.declare(line, early)
        line.channel().exchange_declare("office_to_come", "fanout", passive=True)
