"""`manage.py up`: the whole portal on one machine, in the foreground.

Ctrl-C stops everything, instances included; they are shown as stopped and can be started again. SIGTERM, as a service
manager sends it, stops the portal alone: instances go on and are adopted by the next start.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth import checks
from visa.machine.configuration import Machine
from visa.machine.supervisor import Supervisor
from visa.postgres import EmbeddedPostgres

PATIENCE = 60.0


class Command(BaseCommand):
    help = "Run the whole portal on this machine: database, pages, broker, worker, and a demo facility."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="pages; the broker and the demo sign-in follow")
        parser.add_argument("--data", type=Path, default=settings.ROOT / "var", help="where everything is kept")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            checks.insist()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        machine = Machine(options["port"], options["data"].resolve())
        stopping: list[signal.Signals] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda n, _: stopping.append(signal.Signals(n)))
        with only_one(machine.data):
            machine.check_ports()
            self._run(machine, stopping)

    def _run(self, machine: Machine, stopping: list[signal.Signals]) -> None:
        postgres = None
        if not (database_url := os.environ.get("DATABASE_URL", "")):
            self._say("starting PostgreSQL")
            postgres = EmbeddedPostgres(machine.data / "postgres")
            database_url = postgres.database("visa")
        environment = machine.environment(database_url)
        supervisor = Supervisor(environment, machine.data / "logs")
        try:
            self._say("preparing" + (" the demo facility" if machine.has_demo else ""))
            manage(environment, "prepare", *(["--demo"] if machine.has_demo else []))
            start_all(supervisor, machine)
            self._wait(supervisor, machine, stopping)
            if not stopping:
                self._welcome(machine)
            while not stopping:
                supervisor.tend()
                time.sleep(0.1)
        finally:
            self._say("stopping")
            supervisor.stop()
            if signal.SIGINT in stopping:
                manage(environment, "stop_instances")
            if postgres:
                postgres.stop()

    def _wait(self, supervisor: Supervisor, machine: Machine, stopping: list[signal.Signals]) -> None:
        waiting = [f"{machine.url}/health/ready", f"{machine.broker_url}/health/ready"]
        if machine.has_demo:
            waiting.append(f"{machine.issuer}/.well-known/openid-configuration")
        deadline = time.monotonic() + PATIENCE
        while waiting and not stopping:
            supervisor.tend()
            waiting = [url for url in waiting if not answers(url)]
            if time.monotonic() > deadline:
                logs = machine.data / "logs"
                raise CommandError(f"{', '.join(waiting)} did not answer within {PATIENCE:.0f} s: see {logs}.")
            time.sleep(0.05)

    def _welcome(self, machine: Machine) -> None:
        if machine.has_demo:
            from visa import demo

            self._say("\nThe people of the demo facility; signing in needs no password:")
            for person in demo.people():
                self._say(f"  {person.name:<24} {person.about}")
            if not os.environ.get("VISA_EMAIL_URL"):
                self._say(f"\nWhat they are told by mail is written to {machine.mail}.")
        self._say(f"\nOpen {machine.url} in a browser. Ctrl-C stops everything.\n")
        self._say(f"ready {machine.url}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Two portals on one folder would fight over it."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"A portal is running on {data} already. Stop it, or choose another with --data."
            ) from None
        yield


def start_all(supervisor: Supervisor, machine: Machine) -> None:
    python, manage_py = sys.executable, str(settings.ROOT / "manage.py")
    if machine.has_demo:
        demo = ["--port", str(machine.port + 2), "--portal-url", machine.url, "--data", str(machine.data / "demo")]
        supervisor.start("demo_provider", [python, manage_py, "demo_provider", *demo])
    web = ["--host", machine.host, "--port", str(machine.port), "--ws", "websockets-sansio", "--no-access-log"]
    web += ["--app-dir", str(settings.ROOT), "--timeout-graceful-shutdown", "3", "--ws-max-size", "65536"]
    supervisor.start("web", [python, "-m", "uvicorn", "visa.asgi:application", *web])
    supervisor.start("broker", [python, manage_py, "broker", "--host", machine.host, "--port", str(machine.port + 1)])
    supervisor.start("worker", [python, manage_py, "worker"])


def manage(environment: dict[str, str], *command: str) -> None:
    # A session of its own: Ctrl-C must not tear it in the middle.
    done = subprocess.run(
        [sys.executable, str(settings.ROOT / "manage.py"), *command],
        env=environment,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"`manage.py {command[0]}` failed; what it said stands above.")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False
