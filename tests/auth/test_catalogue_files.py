"""A facility's tables: read strictly, or not at all, with every problem at its line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auth.access import Role
from auth.catalogues.base import CatalogueError, PersonKey
from auth.catalogues.files import Files
from auth.data import Part

from .tables import TABLES, write

Edit = tuple[str, str, str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def problems(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        Files(folder).read()
    return caught.value.problems


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


def test_the_tables_become_a_catalogue(folder: Path) -> None:
    catalogue = Files(folder).read()
    assert [i.folder for i in catalogue.instruments] == [
        "visitor/{proposal}/{instrument}/{date}",
        "raw/{proposal}/{date}",
    ]
    first = catalogue.experiments[0]
    assert first.start == datetime(2026, 11, 20, 7, tzinfo=UTC)
    ann = PersonKey("https://proxy.example.org", "a@example.org")
    assert catalogue.participations[0].person == ann
    assert catalogue.participations[0].part is Part.PRINCIPAL_INVESTIGATOR
    assert [(r.role, r.instrument) for r in catalogue.roles] == [
        (Role.INSTRUMENT_SCIENTIST, "id01"),
        (Role.AUDITOR, ""),
    ]
    assert catalogue.proposals[1].proprietary


def test_json_says_the_same_as_csv(folder: Path) -> None:
    before = Files(folder).read()
    (folder / "proposals.csv").unlink()
    rows = [
        {"code": "hc-1", "title": "One, with a comma", "abstract": "two\nlines", "released": "2030-01-01"},
        {"code": "in-2", "title": "Two", "abstract": None, "proprietary": True},
    ]
    (folder / "proposals.json").write_text(json.dumps(rows))
    assert Files(folder).read() == before


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("instruments.csv", "id01,One", "ID01,One", "instruments.csv:2: code must be lower-case"),
        ("instruments.csv", "raw/{proposal}/{date}", "../{proposal}", "instruments.csv:3: folder must be a relative"),
        ("instruments.csv", "raw/{proposal}/{date}", "/x/{proposal}", "instruments.csv:3: folder must be a relative"),
        ("instruments.csv", "raw/{proposal}", "raw/x{proposal}", "instruments.csv:3: folder must have {proposal}"),
        ("instruments.csv", "{date}", "{date.year}", "instruments.csv:3: folder may use"),
        ("instruments.csv", "{date}", "{date", "instruments.csv:3: folder has a brace"),
        ("people.csv", "bob,https", "bob,ftp", "people.csv:3: iss must be the http(s)"),
        (
            "people.csv",
            "b@example.org,Bob",
            "a@example.org,Bob",
            "people.csv:3: the same iss and sub as at people.csv:2",
        ),
        ("people.csv", "bob,https", "ann,https", "people.csv:3: the same person as at people.csv:2"),
        ("people.csv", "bob@example.org", "bob at home", "people.csv:3: email is no e-mail"),
        ("people.csv", ",Bob,", ",,", "people.csv:3: name is missing"),
        ("proposals.csv", "2030-01-01", "2030-13-01", "proposals.csv:2: released"),
        ("proposals.csv", "2030-01-01", "20300101", "proposals.csv:2: released must be a date"),
        ("proposals.csv", "yes", "maybe", "proposals.csv:4: proprietary must be yes or no"),
        ("proposals.csv", "yes,", "yes,2030-01-01", "proposals.csv:4: released is set, but proprietary"),
        ("proposals.csv", "code,title", "kode,title", "proposals.csv: cannot be read: the header lacks code"),
        (
            "proposals.csv",
            "code,title",
            "title,title",
            "proposals.csv: cannot be read: the header names a column twice",
        ),
        ("experiments.csv", "08:00:00+01:00", "08:00:00", "experiments.csv:2: start must be a time with its zone"),
        ("experiments.csv", "2026-11-20T08:00:00+01:00", "2027-01-01T00:00Z", "experiments.csv:2: end is not after"),
        ("experiments.csv", "e1,hc-1", "e1,hc-9", "experiments.csv:2: proposal 'hc-9' is in no other table"),
        ("experiments.csv", "hc-1,id01", "hc-1", "experiments.csv:2: has 5 cells, but the header has 6"),
        ("participations.csv", "e1,bob", "e9,bob", "participations.csv:3: experiment 'e9' is in no other table"),
        ("participations.csv", "participant", "boss", "participations.csv:3: part must be one of"),
        ("participations.csv", "e1,bob,participant", "e1,ann,principal_investigator", "participations.csv:3: the same"),
        ("roles.csv", "auditor,,", "auditor,id01,", "roles.csv:3: instrument belongs to instrument scientists"),
        ("roles.csv", "scientist,id01", "scientist,", "roles.csv:2: instrument belongs to instrument scientists"),
        ("roles.csv", "auditor", "emperor", "roles.csv:3: role must be one of"),
        ("roles.csv", "auditor", "local_contact", "roles.csv:3: role must be one of"),
        ("people.csv", "email,username", "email,login", "people.csv: there is no column 'login' in people"),
    ],
)
def test_a_mistake_is_named_with_its_line(folder: Path, file: str, old: str, new: str, problem: str) -> None:
    edit(folder, file, old, new)
    assert any(line.startswith(problem) for line in problems(folder)), problems(folder)


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    edit(folder, "people.csv", "bob@example.org", "nowhere")
    edit(folder, "roles.csv", "auditor", "emperor")
    edit(folder, "experiments.csv", "+01:00", "")
    assert len(problems(folder)) >= 3


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_is_not_an_empty_one(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: the table is missing" in problems(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes("code,title\nhc-1,Müller".encode("latin-1")),
        lambda file: file.write_text('code,title\nhc-1,"no end'),
        lambda file: file.write_text(""),
        lambda file: file.with_suffix(".json").write_text("[]"),
        lambda file: (file.unlink(), file.with_suffix(".json").write_text("{}")),
        lambda file: (file.unlink(), file.with_suffix(".json").write_text('[{"code": 1}, "x"]')),
        lambda file: (file.unlink(), file.with_suffix(".json").write_text("[")),
    ],
)
def test_a_table_that_cannot_be_read_is_a_problem(folder: Path, spoil: Callable[[Path], object]) -> None:
    spoil(folder / "proposals.csv")
    assert any("proposals" in line for line in problems(folder))


def test_spreadsheets_may_leave_their_mark_at_the_beginning(folder: Path) -> None:
    text = (folder / "people.csv").read_text()
    (folder / "people.csv").write_text(text, encoding="utf-8-sig")
    assert len(Files(folder).read().people) == 2
