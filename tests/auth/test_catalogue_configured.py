"""The file that names a facility's catalogues is right as a whole, or nothing is read."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from auth.catalogues import schedule
from auth.catalogues.base import CatalogueError
from auth.catalogues.configured import account, read
from auth.catalogues.identities import canonical_subject
from auth.models import CatalogueRun

from .tables import write

GOOD: dict[str, Any] = {"name": "files", "kind": "files", "folder": ".", "every": "30s", "full": "12h"}
OFFICE: dict[str, Any] = {
    "url": "amqps://rabbitmq.example.org/",
    "queue": "visa.portal",
    "issuers": ["https://login.example.org"],
    "statuses": {"ALLOCATED": "access"},
    "instruments": {"LOKI": {"code": "loki"}},
    "proprietary": [],
}


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[Any], Path]:
    def to_file(entries: Any) -> Path:
        file = write(tmp_path) / "catalogues.json"
        (tmp_path / "office.json").write_text(json.dumps(OFFICE))
        file.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        return file

    return to_file


def test_each_catalogue_has_its_kind_and_its_intervals(listed: Callable[[Any], Path]) -> None:
    found = read(listed([GOOD, {"name": "office", "kind": "useroffice", "config": "office.json"}]))
    assert (found["files"].every, found["files"].full) == (timedelta(seconds=30), timedelta(hours=12))
    assert found["office"].pushed


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("[", "catalogues.json: cannot be read: Expecting value: line 1"),
        ({}, "catalogues.json: must be a list of catalogues"),
        (["files"], "catalogues.json: catalogue 1: must be an object"),
        ([{**GOOD, "name": "Files"}], "catalogues.json: catalogue 1 (Files): name must be a lower-case letter"),
        ([{**GOOD, "kind": "oracle"}], "catalogues.json: catalogue 1 (files): kind must be one of files, icat"),
        ([{"name": "x", "kind": "files"}], "catalogues.json: catalogue 1 (x): folder is missing"),
        ([{"name": "x", "kind": "icat"}], "catalogues.json: catalogue 1 (x): config is missing"),
        ([{**GOOD, "folder": "nowhere"}], "catalogues.json: catalogue 1 (files): folder 'nowhere' is no folder"),
        ([{**GOOD, "every": "often"}], "catalogues.json: catalogue 1 (files): every must be a time such as"),
        ([{**GOOD, "every": "1s"}], "catalogues.json: catalogue 1 (files): every must be from 10 seconds"),
        ([{**GOOD, "full": "10s"}], "catalogues.json: catalogue 1 (files): full must not be shorter than every"),
        ([{**GOOD, "password": "x"}], "catalogues.json: catalogue 1 (files): there is no setting 'password'"),
        ([GOOD, GOOD], "catalogues.json: 2 catalogues are called 'files'"),
        (
            [{"name": "x", "kind": "icat", "config": "people.csv"}],
            "catalogues.json: catalogue 1 (x): people.csv: cannot be read",
        ),
        (
            [{"name": "x", "kind": "useroffice", "config": "o.json", "every": "5m"}],
            "catalogues.json: catalogue 1 (x): there is no setting 'every'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(listed: Callable[[Any], Path], entries: Any, problem: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read(listed(entries))
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_all_mistakes_are_told_at_once(listed: Callable[[Any], Path]) -> None:
    with pytest.raises(CatalogueError) as caught:
        read(listed([{**GOOD, "every": 5}, {"kind": "files"}]))
    assert len(caught.value.problems) == 3


def test_accounts_come_from_the_environment(settings: Settings) -> None:
    settings.CATALOGUE_ACCOUNTS = {"VISA_CATALOGUE_MY_OWN_USERNAME": "p", "VISA_CATALOGUE_MY_OWN_PASSWORD": "secret"}
    found = account("my-own")
    assert (found.username, found.password) == ("p", "secret")
    assert "secret" not in repr(found)
    with pytest.raises(CatalogueError, match="VISA_CATALOGUE_OTHER_USERNAME and VISA_CATALOGUE_OTHER_PASSWORD must be"):
        account("other")


@pytest.mark.django_db
def test_the_command_explains_what_it_cannot_fetch(listed: Callable[[Any], Path], settings: Settings) -> None:
    settings.CATALOGUES = ""
    with pytest.raises(CommandError, match="VISA_CATALOGUES must name a file"):
        call_command("sync_catalogue", "files")
    settings.CATALOGUES = str(listed([GOOD, {"name": "office", "kind": "useroffice", "config": "office.json"}]))
    with pytest.raises(CommandError, match="there is no catalogue 'icat'; there are files, office"):
        call_command("sync_catalogue", "icat")
    with pytest.raises(CommandError, match="office sends what is new by itself"):
        call_command("sync_catalogue", "office")


@pytest.mark.django_db
def test_a_file_that_is_wrong_is_logged_once_and_nothing_is_read(
    listed: Callable[[Any], Path], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CATALOGUES = str(listed([{**GOOD, "kind": "oracle"}]))
    for _ in range(3):
        schedule.tick()
    assert caplog.text.count("no catalogue is read") == 1
    assert not CatalogueRun.objects.exists()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("ABC123@MyAccessID.org", "abc123@myaccessid.org"),
        ("ABC@proxy.example.org", "ABC@proxy.example.org"),
        ("ABC", "ABC"),
        ("A@myaccessid.org.example.org", "A@myaccessid.org.example.org"),
    ],
)
def test_only_at_myaccessid_case_means_nothing(said: str, kept: str) -> None:
    assert canonical_subject("https://proxy.myaccessid.org", said) == kept
