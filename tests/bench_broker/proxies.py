"""The processes that are measured, and what each has used until now."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.portal import ROOT, until

CHP = ROOT / "node_modules/.bin/configurable-http-proxy"


class Running:
    """A process with its children."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = psutil.Process(process.pid)

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def processor(self) -> float:
        """Seconds of processor time, to the nanosecond that the scheduler counts; of what is alive."""
        spent = 0
        for one in self._family():
            for thread in Path(f"/proc/{one.pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    spent += int(thread.read_text().split()[0])
        return spent / 1e9

    def memory(self) -> int:
        """Bytes that would be free without it."""
        return sum(one.memory_full_info().uss for one in self._family())


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """`command` once it listens on `port`."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or _listens(port), what=f"{command[0]} to listen", seconds=60)
        assert process.poll() is None, log.read_text()
        yield Running(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def websockify(port: int, target: int, folder: Path) -> contextlib.AbstractContextManager[Running]:
    command = [sys.executable, "-m", "websockify", f"127.0.0.1:{port}", f"127.0.0.1:{target}"]
    return running(command, port, folder / "websockify.log")


def chp(port: int, target: int, folder: Path) -> contextlib.AbstractContextManager[Running]:
    command = [str(CHP), "--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1"]
    command += ["--default-target", f"http://127.0.0.1:{target}", "--log-level", "error"]
    environment = os.environ | {"CONFIGPROXY_AUTH_TOKEN": "bench"}
    return running(command, port, folder / "chp.log", environment)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
