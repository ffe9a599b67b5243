"""Keeps a handful of processes running: starts them, starts them again when they die, stops them together."""

import logging
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)
STEADY = 30.0
"""Seconds after which a process counts as healthy, so that its next death is the first again."""
LOG_LIMIT = 10 << 20


@dataclass
class Child:
    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = field(default=0.0)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


class Supervisor:
    def __init__(self, environment: dict[str, str], logs: Path) -> None:
        self.environment = environment
        self.logs = logs
        self.children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: list[str]) -> None:
        child = Child(name, command, self.logs / f"{name}.log")
        self.children.append(child)
        self._spawn(child)

    def tend(self) -> None:
        """Start again, ever more patiently, whatever has died."""
        now = time.monotonic()
        for child in self.children:
            if child.process and child.process.poll() is not None:
                child.deaths = 1 if now - child.started > STEADY else child.deaths + 1
                child.due = now + min(5.0, 0.1 * 2**child.deaths)
                log.warning("%s ended with %s; see %s", child.name, child.process.returncode, child.log)
                child.process = None
            if child.process is None and now >= child.due:
                self._spawn(child)

    def stop(self, patience: float = 10.0) -> None:
        """SIGTERM to all, SIGKILL to those that stay."""
        running = [child.process for child in self.children if child.process and child.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.children.clear()

    def _spawn(self, child: Child) -> None:
        if child.log.exists() and child.log.stat().st_size > LOG_LIMIT:
            child.log.replace(child.log.with_suffix(".old.log"))
        with child.log.open("ab") as out:
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops in order. Should the
            # supervisor die without a word, the kernel ends its children.
            child.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *child.command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.started = time.monotonic()
        # Whoever reads it meets the old number or the new one, never a file that is being written.
        half = self.logs / f"{child.name}.pid.new"
        half.write_text(str(child.process.pid))
        half.replace(self.logs / f"{child.name}.pid")
