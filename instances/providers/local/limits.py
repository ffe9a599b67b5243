"""Memory, cores and number of processes of an instance, by control groups of version 1 or 2, where we may make them."""

import os
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from .places import Place, read, write

ROOT = Path("/sys/fs/cgroup")
PROCESSES = 4096
"""Enough for any analysis, too few for a fork bomb to hurt the others."""
CONTROLLERS = {"memory": "memory", "cpu": "cores", "pids": "number of processes"}


@cache
def hierarchies() -> dict[str, Path]:
    """For each controller that we may use, the folder under which an instance's group can be made."""
    if (ROOT / "cgroup.controllers").exists():
        return _unified()
    return {name: base for name in CONTROLLERS if (base := _made(ROOT / name)) is not None}


def unenforced() -> tuple[str, ...]:
    """A sentence for each limit that this machine does not keep."""
    return tuple(
        f"Limits on {words} are not enforced on this machine."
        for name, words in CONTROLLERS.items()
        if name not in hierarchies()
    )


def prepare(place: Place, *, memory_mb: int, cores: float) -> list[Path]:
    """Groups with the limits, written down; the files into which the instance's first process writes its pid."""
    groups = {name: base / place.id for name, base in hierarchies().items()}
    folders = sorted(set(groups.values()))
    write(place.limits, "\n".join(map(str, folders)))
    for folder in folders:
        folder.mkdir(exist_ok=True)
    unified = (ROOT / "cgroup.controllers").exists()
    for name, folder in groups.items():
        for file, value in _values(name, unified, memory_mb, cores).items():
            with suppress(OSError):  # the swap files exist only where swap is accounted for
                (folder / file).write_text(value)
    return [folder / "cgroup.procs" for folder in folders]


def out_of_memory(place: Place) -> bool:
    """The kernel ended something of it because its memory was used up."""
    for folder in _groups(place):
        for file in ("memory.oom_control", "memory.events"):
            for line in _lines(folder / file):
                name, _, count = line.partition(" ")
                if name == "oom_kill" and count.strip() != "0":
                    return True
    return False


def release(place: Place) -> None:
    """End whatever is left in the instance's groups and remove them."""
    for folder in _groups(place):
        for _ in range(100):
            for pid in _lines(folder / "cgroup.procs"):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                folder.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)


def _values(name: str, unified: bool, memory_mb: int, cores: float) -> dict[str, str]:
    memory, quota = str(memory_mb << 20), str(max(1000, round(cores * 100_000)))
    if name == "memory":
        if unified:
            return {"memory.max": memory, "memory.swap.max": "0"}
        return {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
    if name == "cpu":
        if unified:
            return {"cpu.max": f"{quota} 100000"}
        return {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": quota}
    return {"pids.max": str(PROCESSES)}


def _unified() -> dict[str, Path]:
    available = set(read(ROOT / "cgroup.controllers").split())
    base = _made(ROOT)
    usable = {}
    for name in CONTROLLERS:
        with suppress(OSError):
            if base and name in available:
                for parent in (ROOT, base):
                    (parent / "cgroup.subtree_control").write_text(f"+{name}")
                usable[name] = base
    return usable


def _made(hierarchy: Path) -> Path | None:
    base = hierarchy / "visa-portal"
    try:
        base.mkdir(exist_ok=True)
    except OSError:
        return None
    return base if os.access(base, os.W_OK) else None


def _groups(place: Place) -> list[Path]:
    return [Path(line) for line in read(place.limits).splitlines() if line.endswith(f"/visa-portal/{place.id}")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
