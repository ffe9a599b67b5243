"""Machines report with a token and nothing else: once at boot, then with a credential of their own."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.utils import timezone

from auth import audit
from auth.digests import digest_of
from auth.models import AuditEvent
from instances.errors import TicketRefused
from instances.models import Boot, Guest, Instance, InstanceEvent, Load
from instances.providers.base import Usage
from instances.providers.secrets import boot_token, derived
from instances.reconcile import activity
from instances.services import guests
from instances.states import State
from tests.facility import Facility
from tests.facility import instance as made

from .scripted import ScriptedCloud

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine(facility: Facility) -> Instance:
    instance = made(facility, facility.ada, State.STARTING)
    guests.expect(instance)
    return instance


def token(instance: Instance) -> str:
    return boot_token(settings.INSTANCE_KEY, instance.key, instance.generation)


def certificate(instance: Instance) -> str:
    return derived(settings.INSTANCE_KEY, instance.key, instance.generation).fingerprint


def post(path: str, bearer: str, said: Any) -> Any:
    """As a machine does: without a session, a cookie or a form."""
    client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {bearer}"})
    body = said if isinstance(said, str) else json.dumps(said)
    return client.post(f"/guests/{path}/", body, content_type="application/json")


def test_a_machine_reports_once_and_is_known_afterwards(mine: Instance) -> None:
    answer = post("boot", token(mine), {"trouble": [], "certificate": certificate(mine)})
    assert answer.status_code == 200 and answer.json()["every"] == 60
    credential = answer.json()["credential"]
    assert Boot.objects.get().reported and Boot.objects.get().trouble == []
    assert post("heartbeat", credential, {"cpu_seconds": 12.5, "gpu": 0.25}).status_code == 200
    assert guests.usage(mine.cloud) == {mine.key: Usage(12.5, 0.25)}
    event = AuditEvent.objects.get(action="guest.boot")
    assert (event.actor_name, event.target) == ("system", f"instance:{mine.pk}")
    assert audit.first_broken_link() is None

    again = post("boot", token(mine), {"trouble": [], "certificate": certificate(mine)})
    assert again.status_code == 403 and "credential" not in again.json()
    assert AuditEvent.objects.filter(action="guest.boot").count() == 1


def test_neither_token_nor_credential_is_kept(mine: Instance) -> None:
    credential = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    rows = repr([*Boot.objects.values(), *Guest.objects.values(), *AuditEvent.objects.values()])
    assert token(mine) not in rows and credential not in rows
    assert Guest.objects.get().credential == digest_of(credential)


def test_what_did_not_work_stands_in_the_timeline(mine: Instance) -> None:
    missing = "The folder /data/visitor/hc-1 could not be mounted."
    assert post("boot", token(mine), {"trouble": [missing], "certificate": certificate(mine)}).status_code == 200
    assert missing in InstanceEvent.objects.filter(instance=mine).values_list("message", flat=True)
    mine.refresh_from_db()
    assert mine.state == State.STARTING, "a report changes no state"


def test_a_machine_with_another_certificate_is_pointed_out(mine: Instance) -> None:
    guests.report_boot(token(mine), trouble=[], certificate="0" * 64)
    assert "another certificate" in Boot.objects.get().trouble[0]


@pytest.mark.parametrize("path", ["boot", "heartbeat"])
@pytest.mark.parametrize("bearer", ["", "guess", "0" * 43])
def test_whoever_has_no_token_is_told_nothing(mine: Instance, path: str, bearer: str) -> None:
    said = {"trouble": [], "certificate": certificate(mine), "instance": mine.key, "cpu_seconds": 1}
    answer = post(path, bearer, said)
    assert answer.status_code == (403 if bearer else 401)
    assert answer["Content-Type"] == "application/problem+json"
    assert not Boot.objects.get().reported and not Guest.objects.exists()


def test_one_instance_s_token_says_nothing_of_another(facility: Facility, mine: Instance) -> None:
    other = made(facility, facility.bob, State.STARTING)
    guests.expect(other)
    credential = post("boot", token(mine), {"certificate": certificate(other), "instance": other.key}).json()
    assert set(Guest.objects.values_list("instance_id", flat=True)) == {mine.pk}
    post("heartbeat", credential["credential"], {"cpu_seconds": 1, "instance": other.key})
    assert set(guests.usage(mine.cloud)) == {mine.key}


def test_a_token_ends_with_time_and_with_its_instance(mine: Instance) -> None:
    Boot.objects.update(expires=timezone.now() - timedelta(seconds=1))
    with pytest.raises(TicketRefused):
        guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    guests.expect(mine)  # the worker tries again: a cloud that builds slowly
    credential = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    Instance.objects.update(state=State.DELETING)
    with pytest.raises(TicketRefused):
        guests.heartbeat(credential, Usage(1.0))


def test_each_generation_has_a_token_and_a_machine_that_was_made_anew_replaces_the_old_one(mine: Instance) -> None:
    first, old_token = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine)), token(mine)
    mine.generation += 1
    guests.expect(mine)
    guests.expect(mine)
    guests.heartbeat(first, Usage(1.0))  # started again, not made anew: it goes on as it was
    second = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    assert old_token != token(mine)
    guests.heartbeat(second, Usage(1.0))
    with pytest.raises(TicketRefused):
        guests.heartbeat(first, Usage(1.0))


def test_a_machine_that_has_gone_quiet_is_not_taken_for_an_idle_one(mine: Instance) -> None:
    credential = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    assert guests.usage(mine.cloud) == {}, "it has not said how hard it works"
    guests.heartbeat(credential, Usage(3.0))
    assert guests.usage(mine.cloud) == {mine.key: Usage(3.0, None)}
    assert guests.usage(mine.cloud, at=timezone.now() + timedelta(minutes=5)) == {}


def test_a_machine_that_says_it_works_keeps_its_instance_from_being_idle(
    mine: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "provider_for", lambda cloud: ScriptedCloud())
    credential = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    Instance.objects.update(state=State.READY, active_at=None)
    long_ago = timezone.now() - timedelta(minutes=2)
    guests.heartbeat(credential, Usage(100.0))
    activity.look()
    for used, active in ((100.0, False), (220.0, True)):
        Instance.objects.update(active_at=None)
        Load.objects.update(claimed=None, at=long_ago, seconds={mine.key: 100.0})
        guests.heartbeat(credential, Usage(used))
        activity.look()
        assert (Instance.objects.get().active_at is not None) is active, used


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("boot", "no json"),
        ("boot", []),
        ("boot", {"trouble": "all of it"}),
        ("boot", {"trouble": [1]}),
        ("boot", {"certificate": "x' OR 1"}),
        ("boot", "[" * 5000),
        ("heartbeat", {"cpu_seconds": "1"}),
        ("heartbeat", {"cpu_seconds": -1}),
        ("heartbeat", {"cpu_seconds": True}),
        ("heartbeat", '{"cpu_seconds": NaN}'),
        ("heartbeat", '{"cpu_seconds": Infinity}'),
        ("heartbeat", {"gpu": 1.5}),
    ],
)
def test_a_report_that_makes_no_sense_uses_up_nothing(mine: Instance, path: str, said: Any) -> None:
    bearer = token(mine)
    if path == "heartbeat":
        bearer = guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
    assert post(path, bearer, said).status_code == 400
    assert (path == "boot") is (Boot.objects.get().reported is None)
    assert guests.usage(mine.cloud) == {}


def test_a_report_is_bounded(mine: Instance) -> None:
    assert post("boot", token(mine), {"trouble": ["x" * 20_000]}).status_code == 413
    many = {"trouble": ["y" * 400 + "\0"] * 30, "certificate": certificate(mine)}
    assert post("boot", token(mine), many).status_code == 200
    assert [len(sentence) for sentence in Boot.objects.get().trouble] == [300] * 20
    assert Client().get("/guests/boot/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_of_two_reports_at_once_one_is_believed(facility: Facility) -> None:
    mine = made(facility, facility.ada, State.STARTING)
    guests.expect(mine)

    def report(_: int) -> str | None:
        try:
            return guests.report_boot(token(mine), trouble=[], certificate=certificate(mine))
        except TicketRefused:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(report, range(4)))
    assert len([answer for answer in answers if answer]) == 1
    assert AuditEvent.objects.filter(action="guest.boot").count() == 1
