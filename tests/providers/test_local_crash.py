"""Nothing lost and nothing doubled, whatever ends when: the worker inside `ensure`, the sandbox, the session."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from instances.errors import ProviderError
from instances.providers.base import Screen, Spec
from instances.providers.local import places, processes
from instances.states import Phase
from tests.providers.conftest import Machine

WORKER = """
import json, os, signal, sys
from instances.providers.local.places import _spec
from instances.providers.local.provider import LocalProvider

settings, stored, last = json.loads(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
provider = LocalProvider("local", settings)
steps = launched = 0

def trace(frame, event, argument):
    global steps, launched
    if "/providers/local/" not in frame.f_code.co_filename and "subprocess.py" not in frame.f_code.co_filename:
        return None
    steps += 1
    if frame.f_code.co_name == "_wait" and frame.f_code.co_filename.endswith("launcher.py"):
        launched = launched or steps
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace

sys.settrace(trace)
provider.ensure(_spec(stored), lambda step, line: None)
sys.settrace(None)
print(launched)
"""


def worker(machine: Machine, spec: Spec, last: int) -> subprocess.CompletedProcess[str]:
    """A process that ensures `spec` and is killed at its step `last` (a line of the provider), if it comes so far."""
    words = [json.dumps(dict(machine.provider.settings)), json.dumps(asdict(spec)), str(last)]
    return subprocess.run(
        [sys.executable, "-c", WORKER, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )


def test_a_worker_killed_anywhere_in_ensure_leaves_one_instance_or_none(machine: Machine) -> None:
    spec = machine.spec(username=f"u{os.getpid()}", mounts=machine.mounts("hc-4321")[:1])
    launched = int(worker(machine, spec, 0).stdout)
    machine.wait(spec.id, Phase.RUNNING)
    points = 24
    for step in range(launched // points, launched + 200, launched // points):
        spec = replace(spec, generation=spec.generation + 1)
        killed = worker(machine, spec, step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before = machine.provider.observe(spec.id)
        assert before.phase in (Phase.STOPPED, Phase.STARTING, Phase.RUNNING) or before.generation < spec.generation
        machine.run(spec)
        assert servers_of(spec) == 1, f"killed at step {step}, launched at {launched}"


def test_a_worker_killed_while_it_launches_is_followed_by_adoption(machine: Machine) -> None:
    spec = machine.spec(username=f"v{os.getpid()}", mounts=())
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08):
        words = [json.dumps(dict(machine.provider.settings)), json.dumps(asdict(spec)), "0"]
        started = subprocess.Popen(
            [sys.executable, "-c", WORKER, *words], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL
        )
        process = machine.place(spec.id).process
        while (process.read_text().split()[2] if process.exists() else "0") != str(spec.generation):
            assert started.poll() in (None, 0)
        time.sleep(delay)
        started.kill()
        started.wait()
        found = processes.last_run(machine.place(spec.id))
        machine.run(spec)
        adopted = processes.last_run(machine.place(spec.id))
        assert found and adopted and found.outer == adopted.outer
        assert servers_of(spec) == 1
        spec = replace(spec, generation=spec.generation + 1)


def test_a_monitor_that_was_killed_leaves_an_instance_that_still_counts(machine: Machine) -> None:
    spec = machine.run(machine.spec(username=f"w{os.getpid()}"))
    run = processes.last_run(machine.place(spec.id))
    assert run
    os.kill(run.outer.pid, signal.SIGKILL)
    assert machine.provider.observe(spec.id).phase is Phase.RUNNING
    machine.ensure(spec)
    assert servers_of(spec) == 1
    machine.provider.stop(spec.id)
    assert servers_of(spec) == 0


def test_a_crash_is_reported_with_the_last_words_of_the_log(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    os.kill(server_of(machine, spec), signal.SIGSEGV)
    failed = machine.wait(spec.id, Phase.FAILED)
    assert "Xvnc ended" in failed.message and failed.generation == 1
    assert machine.ensure(spec).phase is Phase.FAILED, "the reconciler decides whether to start it again"


def test_a_session_that_ends_takes_everything_inside_along(machine: Machine) -> None:
    spec = machine.run(machine.spec(username=f"x{os.getpid()}"))
    os.kill(machine.session(spec), signal.SIGKILL)
    machine.wait(spec.id, Phase.FAILED)
    until = time.monotonic() + 5
    while servers_of(spec) and time.monotonic() < until:
        machine.provider.observe(spec.id)
        time.sleep(0.05)
    assert servers_of(spec) == 0


def test_after_the_machine_restarted_an_instance_is_stopped_not_failed(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.provider.stop(spec.id)
    place = machine.place(spec.id)
    place.stopped.unlink()
    _, started, generation, _ = place.process.read_text().split()
    place.process.write_text(f"{os.getpid()} {started} {generation} another-boot")
    observed = machine.provider.observe(spec.id)
    assert observed.phase is Phase.STOPPED and "restarted" in observed.message


def test_a_process_with_the_same_pid_is_not_taken_for_the_instance(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.provider.stop(spec.id)
    place = machine.place(spec.id)
    _, started, generation, boot = place.process.read_text().split()
    place.process.write_text(f"{os.getpid()} {started} {generation} {boot}")
    assert machine.provider.observe(spec.id).phase is Phase.STOPPED
    machine.provider.delete(spec.id)


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen(["sleep", "100"])
    started = processes._started(child.pid)
    assert started and processes.Process(child.pid, started).alive()
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.Process(child.pid, started).alive()
    child.wait()


def test_a_session_that_does_not_listen_to_the_farewell_is_ended_anyway(machine: Machine) -> None:
    spec = machine.run(machine.spec(username=f"y{os.getpid()}"))
    os.kill(machine.session(spec), signal.SIGSTOP)
    started = time.monotonic()
    machine.provider.stop(spec.id)
    assert time.monotonic() - started < 12
    assert servers_of(spec) == 0
    assert machine.provider.observe(spec.id).phase is Phase.STOPPED


def test_what_cannot_be_read_is_unknown_not_absent(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    instances = machine.provider.folder / "instances"
    away = instances.with_name("away")
    instances.rename(away)
    try:
        for ask in (machine.provider.observe_all, lambda: machine.provider.observe(spec.id)):
            with pytest.raises(ProviderError) as error:
                ask()
            assert error.value.retry
    finally:
        away.rename(instances)
    assert machine.provider.observe(spec.id).phase is Phase.RUNNING


def test_a_deletion_removes_links_and_never_what_they_point_to(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    raw = Path(spec.mounts[0].source)
    (raw / "scan.h5").write_text("measured")
    machine.inside(spec, "ln -s /home/alice /run/visa/home; ln -s / /run/visa/root; echo mine > ~/mine")
    (machine.place(spec.id).run / "data").symlink_to(raw)
    machine.provider.delete(spec.id)
    assert (raw / "scan.h5").read_text() == "measured"
    assert (machine.provider.folder / "homes/alice/mine").read_text() == "mine\n"
    assert places.listed(machine.provider.folder / "instances") == []
    assert list((machine.provider.folder / "instances").iterdir()) == []


def test_a_log_without_end_does_not_fill_the_disk(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.place(spec.id).log.write_text("noise\n" * 1_000_000)
    machine.provider.observe_all()
    assert machine.place(spec.id).log.stat().st_size <= places.LOG_KEPT


def test_long_paths_still_give_an_address_that_the_kernel_takes(machine: Machine) -> None:
    machine.provider.folder = machine.folder / ("deep/" * 20) / "state"
    spec = machine.run(machine.spec(screens=(Screen(800, 600),)))
    address = machine.provider.endpoint(spec.id, "desktop").path
    assert len(os.fsencode(address)) < 107
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        assert connection.recv(12) == b"RFB 003.008\n"
    machine.provider.delete(spec.id)
    Path(address).parents[2].unlink()


def servers_of(spec: Spec) -> int:
    """How many X servers run for the owner, by the name that each gives its desktop."""
    wanted = f"-desktop\0{spec.owner.username}\0".encode()
    return sum(wanted in commandline(pid) for pid in pids())


def server_of(machine: Machine, spec: Spec) -> int:
    session = machine.session(spec)
    [server] = [pid for pid in pids() if processes._parent(pid) == session and b"Xvnc" in commandline(pid)]
    return server


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def commandline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
