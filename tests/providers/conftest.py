"""A local provider, experiment data on disk and a way into a running sandbox, for every test that needs real ones."""

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from instances.providers.base import Account, Mount, Observed, Spec
from instances.providers.local import processes
from instances.providers.local.places import Place
from instances.providers.local.provider import LocalProvider
from instances.providers.local.sandbox import as_root
from instances.states import Phase, Progress
from tests.faulty.process import FaultyCloud
from tests.faulty.provider import FaultyProvider
from tests.faulty.rig import Rig

ENTER = Path(__file__).with_name("enter.py")
UID = 24001
GROUP = 34001


@dataclass
class Machine:
    """A local provider with a data tree of its own. What it started ends with the test."""

    folder: Path
    provider: LocalProvider
    reports: list[tuple[Progress, str]] = field(default_factory=list)

    def spec(self, image: str = "desktop", username: str = "alice", uid: int = UID, **fields: object) -> Spec:
        spec = Spec(
            id=uuid.uuid4().hex,
            deployment="tests",
            generation=1,
            name="Test",
            owner=Account(username, username.title(), uid, uid, (GROUP,)),
            image=image,
            apps=(image,),
            cores=2,
            memory_mb=2048,
            mounts=self.mounts("hc-4321"),
        )
        return replace(spec, **fields)  # type: ignore[arg-type]

    def mounts(self, proposal: str, uid: int = UID) -> tuple[Mount, ...]:
        """Raw data read-only, processed data and scripts writable, made when they are not there."""
        experiment = f"visitor/{proposal}/id11/20261120"
        mounts = []
        for name in ("RAW_DATA", "PROCESSED_DATA", "SCRIPTS"):
            source = self.folder / "data" / experiment / name
            if not source.exists():
                source.mkdir(parents=True)
                if as_root():
                    os.chown(source, uid, GROUP)
            mounts.append(Mount(str(source), f"/data/{experiment}/{name}", writable=name != "RAW_DATA"))
        return tuple(mounts)

    def ensure(self, spec: Spec) -> Observed:
        return self.provider.ensure(spec, lambda step, line: self.reports.append((step, line)))

    def run(self, spec: Spec) -> Spec:
        """Ensure it and wait until it runs."""
        self.ensure(spec)
        observed = self.wait(spec.id, Phase.RUNNING)
        assert observed.generation == spec.generation
        return spec

    def wait(self, instance_id: str, phase: Phase, seconds: float = 30) -> Observed:
        until = time.monotonic() + seconds
        while (observed := self.provider.observe(instance_id)).phase is not phase:
            assert time.monotonic() < until, f"{observed} instead of {phase}: {self.log(instance_id)}"
            time.sleep(0.02)
        return observed

    def log(self, instance_id: str) -> str:
        return self.place(instance_id).log.read_text(errors="replace")

    def place(self, instance_id: str) -> Place:
        return Place(self.provider.folder, instance_id)

    def session(self, spec: Spec) -> int:
        """The pid, on the host, of the owner's first process."""
        run = processes.last_run(self.place(spec.id))
        assert run and run.inner
        first = run.inner.first_child()
        assert first
        return first.pid

    def inside(self, spec: Spec, command: str) -> subprocess.CompletedProcess[str]:
        """`command` in bash, with what the owner's own processes inside have: user, groups, namespaces, environment."""
        session = self.session(spec)
        environment = Path(f"/proc/{session}/environ").read_text().split("\0")
        enter = ["/usr/bin/python3", str(ENTER), str(session)]
        if as_root():
            groups = ",".join(map(str, spec.owner.groups))
            enter += ["setpriv", f"--reuid={spec.owner.uid}", f"--regid={spec.owner.gid}", f"--groups={groups}"]
            enter += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        clean = ["/usr/bin/env", "-i", *filter(None, environment), "DISPLAY=:1", "bash", "-c", f"cd; {command}"]
        return subprocess.run([*enter, *clean], capture_output=True, text=True, timeout=60)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with NewMachine() as made:
        yield made


@pytest.fixture(scope="module")
def shared_machine() -> Iterator[Machine]:
    """For tests that only look, so that a module starts its desktop once."""
    with NewMachine() as made:
        yield made


@pytest.fixture
def faulty() -> Iterator[Rig]:
    """The cloud that tests use where it must be faulty: here it is not."""
    with FaultyCloud(delay=0.3) as cloud:
        yield Rig(FaultyProvider("faulty", cloud.settings | {"deployment": "tests"}))


class NewMachine:
    def __enter__(self) -> Machine:
        self.folder = Path(tempfile.mkdtemp(prefix="visa-local-"))
        self.folder.chmod(0o711)
        settings = {"folder": str(self.folder / "state"), "deployment": "tests"}
        self.machine = Machine(self.folder, LocalProvider("local", settings))
        self.machine.provider.capacity()
        return self.machine

    def __exit__(self, *_: object) -> None:
        for instance_id in [found.id for found in self.machine.provider.observe_all()]:
            self.machine.provider.delete(instance_id)
        shutil.rmtree(self.folder)
