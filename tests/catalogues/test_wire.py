"""Services that fail, stall, lie and change their minds: either all of a catalogue, or nothing of it."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from auth.catalogues.base import CatalogueUnavailable
from auth.catalogues.sync import sync
from auth.catalogues.wire import Account
from auth.models import AuditEvent, Experiment, Participation

from .services import PASSWORD, USER, Answer, Fault, Service, said
from .worlds import QUICK, IcatWorld, SciCatWorld

Remote = IcatWorld | SciCatWorld


def on(page: int, spoil: Callable[[Service, Answer], Answer], *, once: bool = False) -> Fault:
    """From page `page` on, or only that one time."""

    def fault(service: Service, number: int, answer: Answer) -> Answer:
        return spoil(service, answer) if number == page or (number > page and not once) else answer

    return fault


def status(code: int, **headers: str) -> Callable[[Service, Answer], Answer]:
    return lambda service, answer: Answer(code, b"<html>sorry</html>", headers)


def stall(service: Service, answer: Answer) -> Answer:
    service.over.wait(5)
    return answer


def truncated(service: Service, answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def cut_off(service: Service, answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2], announce=len(answer.body))


def shrink(service: Service, answer: Answer) -> Answer:
    """The answer is still true; from now on there is less."""
    del service.rows[-1:]
    return answer


def first_page_again(remote: Remote) -> Fault:
    kept: list[Answer] = []

    def fault(service: Service, number: int, answer: Answer) -> Answer:
        kept.append(answer)
        return kept[0] if number == 3 else answer

    return fault


FAULTS: dict[str, Callable[[Remote], Fault]] = {
    "500 on page 3": lambda remote: on(3, status(500)),
    "503 on page 1": lambda remote: on(1, status(503)),
    "too many requests": lambda remote: on(2, status(429, **{"Retry-After": "1"})),
    "404 on page 2": lambda remote: on(2, status(404)),
    "moved elsewhere": lambda remote: on(2, status(302, Location="http://127.0.0.1:1/")),
    "a page in HTML": lambda remote: on(2, status(200)),
    "truncated JSON": lambda remote: on(3, truncated),
    "cut off in the middle": lambda remote: on(3, cut_off),
    "no answer in time": lambda remote: on(2, stall),
    "an empty body": lambda remote: on(2, lambda service, answer: Answer()),
    "an empty page": lambda remote: on(3, lambda service, answer: said([])),
    "an object instead of a list": lambda remote: on(3, lambda service, answer: said({})),
    "a list of other things": lambda remote: on(3, lambda service, answer: said([1, None])),
    "very deep JSON": lambda remote: on(3, lambda service, answer: Answer(body=b"[" * 100_000)),
    "the first page again": first_page_again,
    "a total that shrinks": lambda remote: on(2, shrink, once=True),
    "signed out for good": lambda remote: on(3, lambda service, answer: said({}, 401)),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_way_changes_nothing(remote: Remote, name: str) -> None:
    sync(remote.source())
    remote.facility.teams["HC-1"] = {"ann": "principal_investigator", "cyd": "participant"}
    source = remote.source()
    remote.service.pages, remote.service.fault = 0, FAULTS[name](remote)
    with pytest.raises(CatalogueUnavailable) as caught:
        sync(source)
    assert AuditEvent.objects.count() == 1
    assert Experiment.objects.count() == 8
    assert not Participation.objects.filter(user__sub="cyd", experiment__proposal__code="hc-1").exists()
    secrets = [PASSWORD, remote.service.base, *remote.service.sessions]
    assert not any(secret in str(caught.value) for secret in secrets)
    remote.service.fault = None
    assert sync(remote.source())


@pytest.mark.parametrize("spoil", [status(500), status(429), truncated, cut_off, stall, status(200)])
def test_a_lapse_is_survived(remote: Remote, spoil: Callable[[Service, Answer], Answer]) -> None:
    expected = remote.source().read()
    source = remote.source()
    remote.service.pages, remote.service.fault = 0, on(3, spoil, once=True)
    assert source.read() == expected
    assert remote.service.pages == 5


@pytest.mark.parametrize("code", [401, 403])
def test_a_session_that_runs_out_on_the_way_is_begun_again(remote: Remote, code: int) -> None:
    expected = remote.source().read()
    source = remote.source()

    def run_out(service: Service, answer: Answer) -> Answer:
        service.sessions.clear()
        return said({}, code)

    remote.service.pages, remote.service.logins, remote.service.fault = 0, 0, on(3, run_out, once=True)
    assert source.read() == expected
    assert remote.service.logins == 2


def test_a_service_that_gives_fewer_than_it_was_asked_for_is_read_to_its_end(remote: Remote) -> None:
    expected = remote.source().read()
    remote.settings["page_size"] = 100
    source = remote.source()
    remote.service.fault = lambda service, number, answer: said(json.loads(answer.body)[:3])
    assert source.read() == expected


def test_nobody_there_is_no_answer(remote: Remote) -> None:
    remote.settings["url"] = "http://127.0.0.1:9"
    with pytest.raises(CatalogueUnavailable, match="ConnectError, 3 times"):
        remote.source().read()


def test_a_wrong_password_is_not_tried_twice(remote: Remote) -> None:
    source = remote.source()
    source.account = Account(USER, "wrong")
    with pytest.raises(CatalogueUnavailable, match="signing in: HTTP 40"):
        source.read()
    assert len(remote.service.asked) == 1


def test_an_answer_that_drips_is_given_up(remote: Remote) -> None:
    source = remote.source()
    source.patience = replace(QUICK, tries=1, whole=0.0)
    with pytest.raises(CatalogueUnavailable, match="takes too long"):
        source.read()


def test_neither_sessions_nor_passwords_are_logged(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    held: set[str] = set()

    def remember(service: Service, number: int, answer: Answer) -> Answer:
        held.update(service.sessions)
        return answer

    remote.service.fault = remember
    source = remote.source()
    source.read()
    assert held
    assert not any(secret in caplog.text for secret in [*held, PASSWORD])
    assert PASSWORD not in repr(source)
    assert not any(PASSWORD in line for line in remote.service.asked)


def test_nothing_but_the_protocol_s_own_is_in_an_address(remote: Remote) -> None:
    tokens: set[str] = set()

    def remember(service: Service, number: int, answer: Answer) -> Answer:
        tokens.update(service.sessions)
        return answer

    remote.service.fault = remember
    remote.source().read()
    named = [line for line in remote.service.asked if any(token in line for token in tokens)]
    assert bool(named) == isinstance(remote, IcatWorld)


def kind(remote: Remote) -> str:
    return "icat" if isinstance(remote, IcatWorld) else "scicat"


def configure(remote: Remote, settings: Settings, password: str = PASSWORD) -> None:
    """The world is this facility's only catalogue, called `main`."""
    file = remote.folder / "catalogues.json"
    file.write_text(json.dumps([{"name": "main", "kind": kind(remote), "config": remote.config().name}]))
    settings.CATALOGUES = str(file)
    settings.CATALOGUE_ACCOUNTS = {"VISA_CATALOGUE_MAIN_USERNAME": USER, "VISA_CATALOGUE_MAIN_PASSWORD": password}


@pytest.mark.django_db
def test_the_command_reads_a_service_and_tells_what_it_left_out(remote: Remote, settings: Settings) -> None:
    remote.source()
    remote.service.rows[1] |= {"startDate": None} if kind(remote) == "icat" else {"MeasurementPeriodList": []}
    configure(remote, settings)
    out, err = StringIO(), StringIO()
    call_command("sync_catalogue", "main", dry_run=True, stdout=out, stderr=err)
    assert "add proposal hc-1" in out.getvalue()
    assert "left out 1 " in err.getvalue()
    assert not Experiment.objects.exists()
    call_command("sync_catalogue", "main", stdout=out, stderr=err)
    assert set(Experiment.objects.values_list("source")) == {("catalogue:main",)}
    assert Experiment.objects.count() == 7


@pytest.mark.django_db
def test_without_an_account_nobody_is_asked(remote: Remote, settings: Settings) -> None:
    remote.source()
    configure(remote, settings, password="")
    with pytest.raises(CommandError, match=r"(?s)Nothing was changed.*VISA_CATALOGUE_MAIN_PASSWORD"):
        call_command("sync_catalogue", "main")
    assert not remote.service.asked


def test_tens_of_thousands_of_rows_take_seconds(remote: Remote) -> None:
    """Twice as many take about twice as long: nothing compares each with each."""
    remote.settings["page_size"] = 2000
    source, taken = remote.source(), []
    first = remote.service.rows[0]
    for number in (10_000, 20_000):
        names = ({"id": n, "name": f"HC-{n}", "proposalId": f"HC-{n}"} for n in range(number))
        remote.service.rows = [first | name for name in names]
        begun = time.process_time()
        assert len(source.read().proposals) == number
        taken.append(time.process_time() - begun)
    assert taken[1] < 4 * taken[0] + 1
