"""The local provider under an account without any privilege: a user namespace takes the place of root."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.providers.conftest import ENTER

ROOT = Path(__file__).parents[2]
ACCOUNT = 24501
SCRIPT = """
import json, sys, time
from pathlib import Path
from instances.providers.base import Account, Mount, Spec
from instances.providers.local import processes
from instances.providers.local.places import Place
from instances.providers.local.provider import LocalProvider

folder = Path(sys.argv[1])
provider = LocalProvider("local", {"folder": str(folder / "state"), "deployment": "tests"})
mounts = []
for name, writable in (("RAW_DATA", False), ("PROCESSED_DATA", True)):
    (folder / name).mkdir()
    mounts.append(Mount(str(folder / name), f"/data/{name}", writable))
owner = Account("alice", "Alice", 24001, 24001)
spec = Spec("0" * 32, "tests", 1, "Test", owner, "desktop", ("desktop",), 1, 1024, mounts=tuple(mounts))
notes = provider.capacity().notes
provider.ensure(spec, lambda step, line: None)
until = time.monotonic() + 30
while (observed := provider.observe(spec.id)).phase == "starting" and time.monotonic() < until:
    time.sleep(0.05)
run = processes.last_run(Place(folder / "state", spec.id))
session = run.inner.first_child().pid if run and run.inner else 0
path = provider.endpoint(spec.id, "desktop").path
facts = {"phase": observed.phase, "message": observed.message, "notes": notes, "session": session, "path": path}
print(json.dumps(facts), flush=True)
sys.stdin.readline()
provider.delete(spec.id)
"""


@dataclass
class Instance:
    folder: Path
    facts: dict[str, str]

    def says(self, command: str) -> str:
        enter = [*as_account(), "/usr/bin/python3", str(ENTER), str(self.facts["session"]), "bash", "-c", command]
        done = subprocess.run(enter, capture_output=True, text=True)
        return (done.stdout + done.stderr).strip()


def as_account() -> list[str]:
    if os.geteuid():
        return []
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--bounding-set=-all"]


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    folder = Path(tempfile.mkdtemp(prefix="visa-plain-"))
    if not os.geteuid():
        os.chown(folder, ACCOUNT, ACCOUNT)
    process = subprocess.Popen(
        [*as_account(), "/usr/bin/python3", "-c", SCRIPT, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
    )
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    assert line, process.stderr.read()
    yield Instance(folder, json.loads(line))
    _, errors = process.communicate("\n", timeout=30)
    assert process.returncode == 0, errors
    shutil.rmtree(folder)


def test_it_runs(instance: Instance) -> None:
    assert instance.facts["phase"] == "running", instance.facts
    assert Path(instance.facts["path"]).is_socket()


def test_it_says_what_it_cannot_enforce(instance: Instance) -> None:
    assert any("own account" in note for note in instance.facts["notes"])


def test_raw_data_is_read_only_and_processed_data_is_written_as_the_portal(instance: Instance) -> None:
    assert "Read-only file system" in instance.says("echo x > /data/RAW_DATA/x")
    assert instance.says("echo x > /data/PROCESSED_DATA/x") == ""
    assert (instance.folder / "PROCESSED_DATA/x").stat().st_uid == (os.geteuid() or ACCOUNT)


def test_nothing_else_of_the_host_is_there(instance: Instance) -> None:
    assert instance.says("id -un; ls /home") == "alice\nalice"
    assert "No such file" in instance.says(f"ls {ROOT}")
    assert "No such file" in instance.says(f"ls {instance.folder}")
