"""The processes of an instance, known by pid and start time, so that they can be adopted after any crash of ours.

Two of them matter: `outer`, bubblewrap's monitor on the host, recorded before it became bubblewrap; and `inner`, the
first process of the sandbox's own process namespace. The instance is alive while either is; when `inner` dies, the
kernel ends everything inside.
"""

import json
import os
import signal
import time
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .places import Place, read

BOOT = Path("/proc/sys/kernel/random/boot_id")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    started: int
    """Clock ticks since the machine started: /proc/<pid>/stat, field 22."""

    def alive(self) -> bool:
        """A zombie has ended; a process with its pid but another start time is somebody else."""
        return _started(self.pid) == self.started

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                if self.alive():
                    signal.pidfd_send_signal(handle, number)
            finally:
                os.close(handle)

    def first_child(self) -> "Process | None":
        """In a sandbox: the session. Later children are orphans that its first process took in."""
        children = (child for child in _all_processes() if _parent(child.pid) == self.pid)
        return min(children, key=lambda child: (child.started, child.pid), default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """One start of an instance: what was recorded of it and what bubblewrap said since."""

    generation: int
    boot: str
    outer: Process
    inner: Process | None
    exit_code: int | None

    @property
    def this_boot(self) -> bool:
        return self.boot == boot_id()

    def alive(self) -> bool:
        """Once bubblewrap has told how the session ended, what the session left behind no longer counts."""
        if not self.this_boot:
            return False
        return self.outer.alive() or (self.exit_code is None and self.has_leftovers())

    def has_leftovers(self) -> bool:
        return self.this_boot and bool(self.inner and self.inner.alive())


def last_run(place: Place) -> Run | None:
    """The start recorded last, running or not; None when there never was one."""
    fields = read(place.process).split()
    if len(fields) != 4:
        return None
    pid, started, generation, boot = fields
    outer = Process(int(pid), int(started))
    child, code = 0, None
    namespace = ""
    for line in read(place.status).splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            child = said.get("child-pid", child)
            namespace = str(said.get("pid-namespace", namespace))
            code = said.get("exit-code", code)
    return Run(int(generation), boot, outer, _inner(child, namespace, outer), code)


def end(place: Place, patience: float) -> bool:
    """Ask the session to end, insist after `patience` seconds, return whether nothing of it is left."""
    session: Process | None = None
    started = time.monotonic()
    while (run := last_run(place)) and (run.alive() or run.has_leftovers()):
        waited = time.monotonic() - started
        if run.inner and session is None:
            session = run.inner.first_child()
            if session:
                session.signal(signal.SIGTERM)
        if waited > patience or not run.alive() or (session and not session.alive()):
            for process in (run.inner, run.outer):
                if process:
                    process.signal(signal.SIGKILL)
        if waited > patience + 10:
            return False
        time.sleep(0.02)
    return True


def processor_seconds(roots: Iterable[Process]) -> dict[Process, float]:
    """What each of `roots` has used together with its descendants, also with those that have ended. One look at /proc.

    The first process of a namespace takes in every orphan of it, so nothing inside escapes the count.
    """
    stats = {process.pid: _stat(process.pid) for process in _all_processes()}
    used: dict[int, int] = {}
    owners = {root.pid: root for root in roots}
    belongs: dict[int, int] = {}
    for pid, fields in stats.items():
        root = _root_of(pid, stats, owners, belongs)
        if root and fields:
            used[root] = used.get(root, 0) + sum(map(int, fields[11:15]))  # own and waited-for, user and system
    return {owners[pid]: ticks / TICKS for pid, ticks in used.items()}


def _root_of(pid: int, stats: Mapping[int, list[str]], roots: Container[int], known: dict[int, int]) -> int:
    """The one of `roots` that `pid` descends from; 0 for none. Fills `known` on its way."""
    way: list[int] = []
    while pid not in known and pid not in roots and pid and pid not in way:
        way.append(pid)
        fields = stats.get(pid)
        pid = int(fields[1]) if fields else 0
    found = pid if pid in roots else known.get(pid, 0)
    known.update(dict.fromkeys(way, found))
    return found


def boot_id() -> str:
    return BOOT.read_text().strip()


def _inner(pid: int, namespace: str, outer: Process) -> Process | None:
    """The sandbox's first process, if `pid` is still it: it lives in the namespace that bubblewrap named."""
    started = _started(pid) if pid else None
    if started is None or started < outer.started:
        return None
    try:
        ours = str(Path(f"/proc/{pid}/ns/pid").readlink()) == f"pid:[{namespace}]"
    except OSError:
        ours = _parent(pid) == outer.pid
    return Process(pid, started) if ours else None


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third, the state, on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _all_processes() -> list[Process]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (started := _started(int(path.name))) is not None:
            found.append(Process(int(path.name), started))
    return found
