"""The facility's own table: its documented examples work, and with a problem in it nothing starts."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auth import permissions
from auth.data import STANDARD, STANDARD_TABLE, Kind, Mode, Part

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"```json\n(.*?)```", (ROOT / "docs/howto/permissions.md").read_text(), re.S)


def test_nothing_changes_what_is_not_mentioned() -> None:
    assert permissions.read({}) == (STANDARD_TABLE, [])


def test_the_example_of_esrf(tmp_path: Path) -> None:
    table = loaded(tmp_path, EXAMPLES[0])
    assert [folder for folder, kind in table.layout if kind is Kind.RAW] == ["RAW_DATA"]
    assert len(table.layout_of("ID11")) == 6
    assert table.rows[Part.INSTRUMENT_SCIENTIST].processed is Mode.READ_WRITE
    assert (table.rows[Part.LOCAL_CONTACT].days_before, table.rows[Part.LOCAL_CONTACT].days_after) == (14, 30)
    assert table.rows[Part.PARTICIPANT] == STANDARD_TABLE.rows[Part.PARTICIPANT]


def test_the_example_of_desy(tmp_path: Path) -> None:
    table = loaded(tmp_path, EXAMPLES[1])
    assert [folder for folder, _ in table.layout_of("P06")] == ["raw", "processed", "shared", "scratch_cc"]
    assert table.layout_of("BM33") == STANDARD
    assert table.rows[Part.PARTICIPANT].days_after == 1096
    assert (table.open_data, table.control_days) == (False, 2)


def loaded(folder: Path, text: str) -> Any:
    file = folder / "permissions.json"
    file.write_text(text)
    return permissions.load(file)


WRONG = [
    ({"parts": {"participant": {"raw": "read-write"}}}, "parts.participant.raw: raw data is never writable"),
    ({"layouts": {"x": {"RAW_DATA": "processed"}}}, "layouts.x.RAW_DATA: what is called raw is of kind raw"),
    ({"layouts": {"x": {"rawdata": "processed"}}}, "layouts.x.rawdata: what is called raw is of kind raw"),
    (
        {"layouts": {"x": {"data": "raw"}, "y": {"data": "processed"}}},
        "layouts.y.data: is raw in another layout",
    ),
    ({"layouts": {"x": {"PROCESSED_DATA": "raw"}}}, "layouts.x.PROCESSED_DATA: is processed in another layout"),
    ({"layouts": {"x": {"../other": "processed"}}}, "layouts.x.../other: a folder has a plain name"),
    ({"layouts": {"x": {".": "processed"}}}, "layouts.x..: a folder has a plain name"),
    ({"layouts": {"x": {"a": "processed", "A": "processed"}}}, "layouts.x.A: is there already"),
    ({"layouts": {"x": {}}}, "layouts.x: needs at least one folder"),
    ({"layouts": {"x": {"a": "cooked"}}}, "layouts.x.a: 'cooked' is no kind of folder; there are raw, processed"),
    ({"layouts": {"standard": {"a": "raw"}}}, "layouts.standard: is the portal's own"),
    ({"layout": "none"}, "layout: 'none' is no layout; there are standard"),
    ({"instruments": {"id11": "desy"}}, "instruments.id11: 'desy' is no layout"),
    ({"instruments": {"ID 11": "standard"}}, "instruments.ID 11: is no code of an instrument"),
    ({"parts": {"visitor": {}}}, "parts.visitor: is no part; there are principal_investigator"),
    ({"parts": {"anyone": {"raw": "read"}}}, "parts.anyone: is not for a facility to decide here"),
    ({"parts": {"participant": {"proprietary": "read"}}}, "parts.participant.proprietary: is not for a facility"),
    ({"open_data": "read-write"}, "open_data: 'read-write' is none of read, none"),
    ({"open_data": {"embargoed": "read"}}, "open_data: {'embargoed': 'read'} is none of read, none"),
    ({"embargo": False}, "the file.embargo: is not for a facility to decide here"),
    ({"release_after_days": 3}, "the file.release_after_days: is not for a facility to decide here"),
    ({"parts": {"principal_investigator": {"days_after": 3}}}, "parts.principal_investigator.days_after: is not known"),
    ({"parts": {"local_contact": {"days_after": -1}}}, "parts.local_contact.days_after: must be a number of days"),
    ({"parts": {"local_contact": {"days_after": True}}}, "parts.local_contact.days_after: must be a number of days"),
    ({"parts": {"participant": {"processed": 7}}}, "parts.participant.processed: 7 is none of none, read"),
    ({"parts": {"participant": {"may_grant_others": "yes"}}}, "may_grant_others: must be true or false"),
    ({"parts": []}, "parts: must be an object"),
    ([], "the file: must be an object"),
    ({"instrument_control": {"weeks": 2}}, "instrument_control.weeks: is not known here; there are days"),
]


@pytest.mark.parametrize(("document", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_a_problem_is_named_with_its_place(tmp_path: Path, document: Any, problem: str) -> None:
    with pytest.raises(permissions.BadPermissions) as refused:
        loaded(tmp_path, json.dumps(document))
    assert any(line.startswith(f"permissions.json: {problem}") or problem in line for line in refused.value.problems)


def test_every_problem_is_named_at_once_and_a_key_that_is_there_twice_is_one(tmp_path: Path) -> None:
    text = '{"open_data": "none", "open_data": "read", "parts": {"x": {}}, "layout": 5}'
    with pytest.raises(permissions.BadPermissions) as refused:
        loaded(tmp_path, text)
    assert len(refused.value.problems) == 3
    assert refused.value.problems[0] == "permissions.json: 'open_data' is there twice"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": NaN'])
def test_what_is_no_json_is_a_problem_too(tmp_path: Path, text: str) -> None:
    with pytest.raises(permissions.BadPermissions, match="cannot be read"):
        loaded(tmp_path, text)


PROCESSES = {
    "check": ["manage.py", "check"],
    "up": ["manage.py", "up", "--port", "1", "--data", "{tmp}/var"],
    "worker": ["manage.py", "worker"],
    "broker": ["manage.py", "broker", "--port", "1"],
    "web": ["-m", "uvicorn", "visa.asgi:application", "--port", "1"],
}


@pytest.mark.parametrize("process", PROCESSES)
def test_with_a_problem_in_it_nothing_starts(tmp_path: Path, process: str) -> None:
    file = tmp_path / "permissions.json"
    file.write_text('{"parts": {"participant": {"raw": "read-write"}}, "embargo": "open"}')
    command = [part.replace("{tmp}", str(tmp_path)) for part in PROCESSES[process]]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "VISA_PERMISSIONS": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in (0, None)
    said = done.stdout + done.stderr
    assert "parts.participant.raw: raw data is never writable" in said
    assert "the file.embargo: is not for a facility to decide here" in said
    assert not (tmp_path / "var").exists(), "not even a folder was made"
