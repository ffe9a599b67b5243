"""A catalogue is read by one process at a time, goes on where it stopped, and leaves a row that says how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from auth.catalogues import runs, schedule
from auth.catalogues.configured import Configured, configured
from auth.models import AuditEvent, CataloguePage, CatalogueRun, Experiment, Participation

from .services import PASSWORD, USER, Answer, Service, said
from .worlds import QUICK, FilesWorld, IcatWorld, SciCatWorld, Session, World

Mode, Outcome = CatalogueRun.Mode, CatalogueRun.Outcome


@pytest.fixture
def main(world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """The world is this facility's only catalogue, called `main`, read whole once a day."""
    yield configure(world, settings, monkeypatch)


def configure(world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Configured:
    world.source()
    kind = {FilesWorld: "files", IcatWorld: "icat", SciCatWorld: "scicat"}[type(world)]
    where = {"folder": "."} if isinstance(world, FilesWorld) else {"config": world.config().name}
    file = world.folder / "catalogues.json"
    file.write_text(json.dumps([{"name": "main", "kind": kind, "every": "10s", "full": "24h", **where}]))
    settings.CATALOGUES = str(file)
    settings.CATALOGUE_ACCOUNTS = {"VISA_CATALOGUE_MAIN_USERNAME": USER, "VISA_CATALOGUE_MAIN_PASSWORD": PASSWORD}
    whole = Configured.source

    def impatient(self: Configured) -> object:
        source = whole(self)
        if hasattr(source, "patience"):
            source.patience = QUICK
        return source

    monkeypatch.setattr(Configured, "source", impatient)
    return configured()["main"]


def outcomes() -> list[tuple[str, str]]:
    return list(CatalogueRun.objects.order_by("began").values_list("mode", "outcome"))


@pytest.mark.django_db
def test_the_first_run_is_whole_and_the_next_ones_are_not(main: Configured) -> None:
    for _ in range(3):
        runs.run(main)
    assert outcomes() == [("full", "applied"), ("incremental", "unchanged"), ("incremental", "unchanged")]
    first, _, last = CatalogueRun.objects.order_by("began")
    assert first.counts["participation.add"] == Participation.objects.count() == 7
    assert first.ended and not first.problems
    assert last.cursor and not first.cursor
    assert AuditEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_whole_read_comes_again_when_its_time_has_come_or_when_asked_for(main: Configured) -> None:
    runs.run(main)
    CatalogueRun.objects.update(began=timezone.now() - timedelta(hours=25))
    runs.run(main)
    runs.run(main, full=True)
    assert [mode for mode, _ in outcomes()] == ["full"] * 3


@pytest.mark.django_db
def test_a_run_that_is_refused_says_so_and_changes_nothing(world: World, main: Configured) -> None:
    runs.run(main)
    world.facility.sessions.clear()
    world.facility.teams.clear()
    world.source()
    row, diff = runs.run(main, full=True)
    assert (row.outcome, diff) == (Outcome.REFUSED, None)
    assert "would go" in row.problems[0]
    assert Experiment.objects.count() == 8
    row, _ = runs.run(main, force=True)
    assert row.outcome == Outcome.APPLIED
    assert not Experiment.objects.exists()


@pytest.mark.django_db
def test_what_was_left_out_is_noted(icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    main = configure(icat, settings, monkeypatch)
    icat.service.rows[1]["startDate"] = None
    row, _ = runs.run(main)
    assert row.notes == ["left out 1 investigations without dates or instrument: HC-2 (2)"]


@pytest.mark.django_db
@pytest.mark.parametrize("stop", [said({}, 500), Answer(200, b"[")])
def test_a_reading_that_was_interrupted_goes_on_at_its_page(
    icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch, stop: Answer
) -> None:
    main = configure(icat, settings, monkeypatch)
    icat.service.fault = lambda service, page, answer: stop if page >= 4 else answer
    row, _ = runs.run(main)
    assert row.outcome == Outcome.UNAVAILABLE
    assert "investigations from 6" in row.problems[0]
    assert CataloguePage.objects.count() == 3
    assert not Experiment.objects.exists()
    icat.service.fault = None
    icat.service.asked.clear()
    assert runs.run(main)[0].outcome == Outcome.APPLIED
    skips = [line.partition("skip=")[2] for line in icat.service.asked if "skip=" in line]
    assert skips == ["4", "6"]  # the last page again, to see that nothing moved
    assert Experiment.objects.count() == 8
    assert not CataloguePage.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("why", ["total", "config", "old"])
def test_pages_that_may_be_untrue_now_are_read_again(
    icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    main = configure(icat, settings, monkeypatch)
    icat.service.fault = lambda service, page, answer: said({}, 500) if page >= 4 else answer
    runs.run(main)
    icat.service.fault = None
    icat.service.asked.clear()
    if why == "total":
        icat.service.rows.append(icat.investigation(Session(9, "HC-9", "ID01", 9)))
    elif why == "config":
        icat.settings["separator"] = ""
        icat.config()
    else:
        CataloguePage.objects.update(taken=timezone.now() - timedelta(hours=2))
    assert runs.run(main)[0].outcome == Outcome.APPLIED
    assert any(line.endswith("skip=0") for line in icat.service.asked)
    assert not CataloguePage.objects.exists()
    assert Experiment.objects.count() == (9 if why == "total" else 8)


@pytest.mark.django_db
def test_pages_of_a_wrong_answer_are_not_kept(
    icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = configure(icat, settings, monkeypatch)
    icat.service.rows[3]["startDate"] = "yesterday"
    row, _ = runs.run(main)
    assert row.outcome == Outcome.INVALID
    assert "startDate must be a time with its zone" in row.problems[0]
    assert not CataloguePage.objects.exists()


@pytest.mark.django_db
def test_a_configuration_that_broke_is_an_invalid_run(main: Configured) -> None:
    where = main.where / "people.csv" if main.kind == "files" else main.where
    where.write_text("[")
    row, _ = runs.run(main)
    assert row.outcome == Outcome.INVALID
    assert where.name in row.problems[0]


@pytest.mark.django_db(transaction=True)
def test_one_process_at_a_time_reads_a_catalogue(main: Configured) -> None:
    with runs.alone("main"):
        with pytest.raises(runs.Busy):
            runs.run(main)
        schedule.tick()
        assert not CatalogueRun.objects.exists()
        with runs.alone("another"):
            pass
    schedule.tick()
    assert outcomes() == [("full", "applied")]


@pytest.mark.django_db(transaction=True)
def test_a_process_that_is_killed_leaves_its_pages_to_the_next(
    icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = configure(icat, settings, monkeypatch)

    def wait(service: Service, page: int, answer: Answer) -> Answer:
        if page >= 3:
            service.over.wait(20)
        return answer

    icat.service.fault = wait
    database = dict(connection.settings_dict)
    code = (
        "import django; django.setup();"
        "from auth.catalogues import runs; from auth.catalogues.configured import configured;"
        "runs.run(configured()['main'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | environment(database, main.where.parent))
    try:
        wait_for(lambda: CataloguePage.objects.count() == 2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert outcomes() == [("full", "running")]
    icat.service.fault = None
    icat.service.asked.clear()
    wait_for(lambda: not schedule.tick() and CatalogueRun.objects.filter(outcome=Outcome.APPLIED).exists())
    assert outcomes() == [("full", "failed"), ("full", "applied")]
    assert not any(line.endswith("skip=0") for line in icat.service.asked)
    assert Experiment.objects.count() == 8


def environment(database: dict[str, object], folder: Path) -> dict[str, str]:
    url = django_settings.DATABASE_URL
    name = str(django_settings.DATABASES["default"]["NAME"])
    return {
        "DJANGO_SETTINGS_MODULE": "visa.settings",
        "DATABASE_URL": url.replace(f"/{name.removeprefix('test_')}?", f"/{database['NAME']}?"),
        "VISA_LISTEN_URL": django_settings.LISTEN_URL,
        "VISA_CATALOGUES": str(folder / "catalogues.json"),
        "VISA_CATALOGUE_MAIN_USERNAME": USER,
        "VISA_CATALOGUE_MAIN_PASSWORD": PASSWORD,
    }


def wait_for(condition: object, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


@pytest.mark.django_db
def test_the_interval_is_kept_and_failures_are_tried_less_and_less_often(
    icat: IcatWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = configure(icat, settings, monkeypatch)
    now = timezone.now()
    assert schedule.due(main, at=now)

    def ended(outcome: str, seconds: float) -> None:
        at = now - timedelta(seconds=seconds)
        CatalogueRun.objects.create(name="main", mode="full", outcome=outcome, began=at, ended=at)

    ended("applied", 100)
    assert schedule.due(main, at=now)
    ended("unchanged", 8)
    assert not schedule.due(main, at=now)
    assert schedule.due(main, at=now + timedelta(seconds=3))
    for n, pause in enumerate([10, 20, 40, 80], 1):
        ended("unavailable", 8 - n)
        assert not schedule.due(main, at=now + timedelta(seconds=pause - 9 + n))
        assert schedule.due(main, at=now + timedelta(seconds=pause - 7 + n))
    for n in range(20):
        ended("refused", 3 - n / 10)
    assert not schedule.due(main, at=now + timedelta(minutes=59))
    assert schedule.due(main, at=now + timedelta(minutes=61))


@pytest.mark.django_db
def test_runs_are_kept_for_a_while_and_the_last_whole_one_longer(main: Configured, settings: Settings) -> None:
    runs.run(main)
    old = timezone.now() - timedelta(hours=1)
    CatalogueRun.objects.update(began=old)
    CatalogueRun.objects.bulk_create(
        CatalogueRun(name="main", mode="incremental", outcome="unavailable", began=old + timedelta(seconds=n))
        for n in range(250)
    )
    runs.run(main)
    assert CatalogueRun.objects.count() == runs.KEPT_RUNS + 1
    assert CatalogueRun.objects.filter(mode="full", outcome="applied").count() == 1
