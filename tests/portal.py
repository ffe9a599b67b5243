"""A whole portal, started as its user would start it, and driven from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent


class Portal:
    def __init__(self, data: Path, port: int | None = None) -> None:
        self.data = data
        self.port = port or free_ports()
        self.url = f"http://localhost:{self.port}"
        self.broker_url = f"http://localhost:{self.port + 1}"
        self.process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        self._tokens: dict[str, str] = {}

    def start(self) -> "Portal":
        """Returns when it says `ready`; AssertionError with its output when it does not."""
        command = [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(self.port), "--data", str(self.data)]
        self.process = subprocess.Popen(
            command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("ready "):
                return self
        raise AssertionError("the portal did not start:\n" + "\n".join(self.said) + "\n" + self.logs())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.communicate(timeout=60)

    def pid(self, name: str) -> int:
        """Of `web`, `broker`, `worker` or `demo_provider`."""
        return int((self.data / "logs" / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """-9, and wait until the supervisor has started it again."""
        old = self.pid(name)
        os.kill(old, signal.SIGKILL)
        until(lambda: self.pid(name) != old, what=f"{name} to be started again")

    def answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health/ready", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def manage(self, *command: str) -> str:
        environment = clean_environment() | self._environment()
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        """What the running portal's own processes were given."""
        raw = Path(f"/proc/{self.pid('worker')}/environ").read_bytes().split(b"\0")
        pairs = (entry.decode().partition("=") for entry in raw if entry)
        return {name: value for name, _, value in pairs if name.startswith("VISA_") or name == "DATABASE_URL"}

    @property
    def database_url(self) -> str:
        return self._environment()["DATABASE_URL"]

    def api(self, username: str) -> httpx2.Client:
        token = self._tokens.get(username) or self._tokens.setdefault(username, self.manage("create_token", username))
        return httpx2.Client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False
        )

    def logs(self) -> str:
        files = sorted((self.data / "logs").glob("*.log")) if (self.data / "logs").exists() else []
        return "\n".join(f"--- {file.name}\n{file.read_text()[-4000:]}" for file in files)


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("VISA_", "DATABASE_URL", "DJANGO_"))}


def free_ports(count: int = 3) -> int:
    """The first of `count` free ports in a row."""
    for first in range(20000 + os.getpid() % 5000 * 5, 60000, count):
        probes = []
        try:
            for port in range(first, first + count):
                probes.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports")


def until(true: Callable[[], object], *, what: str, seconds: float = 30) -> None:
    """Wait for it; AssertionError names it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
