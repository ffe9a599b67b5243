"""The testbed's processes: each in a session of its own, ended with us, and their logs."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from .configuration import APIS, ENVIRONMENT, Layout

WSGI = {
    "keystone": "keystone.wsgi.api",
    "glance": "glance.wsgi.api",
    "placement": "placement.wsgi.api",
    "neutron": "neutron.wsgi.api",
    "nova": "nova.wsgi.osapi_compute",
}
THREADS = {"nova": 8, "neutron": 6}
START_WITHIN = 240.0
"""Seconds, on a machine that does much else."""


class Processes:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """An API by the name of its service, or `database`, `nova-conductor`, `nova-scheduler`, `nova-compute`."""
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                # so that nothing stays behind where the tests are killed
                ["setpriv", "--pdeathsig", "KILL", *self._command(name)],
                env=self._layout.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def end_all(self) -> None:
        """The database last: the others still write to it."""
        for name in sorted(self._running, key=lambda name: name == "database"):
            self.end(name, signal.SIGTERM if name == "database" else signal.SIGKILL)

    def answer(self, *names: str) -> None:
        """Wait until these APIs answer HTTP; an open port is not enough."""
        deadline = time.monotonic() + START_WITHIN
        for name in names:
            while not _answers(self._layout.ports[name]):
                self.alive(name)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name} does not answer: {self.last_words(name)}")
                time.sleep(0.1)

    def accept(self, name: str, port: int) -> None:
        """Wait until a connection to `port` is taken."""
        deadline = time.monotonic() + START_WITHIN
        while True:
            self.alive(name)
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def alive(self, name: str) -> None:
        """Raises where the process has ended by itself."""
        if self._running[name].poll() is not None:
            raise RuntimeError(f"{name} has ended: {self.last_words(name)}")

    def log(self, name: str) -> Path:
        return self._layout.folder / "log" / f"{name}.log"

    def last_words(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-2000:]

    def _command(self, name: str) -> list[str]:
        layout = self._layout
        if name == "database":
            return [
                *database(layout.folder),
                f"--port={layout.database_port}",
                "--bind-address=127.0.0.1",
                f"--init-file={layout.start_file}",
                "--max-connections=400",
            ]
        if name in APIS:
            serve = [f"{ENVIRONMENT}/bin/python", "-m", "testbed_serve", WSGI[name]]
            return [*serve, str(layout.ports[name]), str(THREADS.get(name, 4))]
        folder = "nova-compute" if name == "nova-compute" else "nova"
        return [f"{ENVIRONMENT}/bin/{name}", "--config-file", f"{layout.folder}/etc/{folder}/nova.conf"]


def database(folder: Path) -> list[str]:
    """MariaDB on a data folder of ours; fast rather than safe."""
    return [
        "mariadbd",
        "--no-defaults",
        *(["--user=root"] if os.geteuid() == 0 else []),
        f"--datadir={folder}/database",
        f"--socket={folder}/mariadb.sock",
        f"--pid-file={folder}/mariadb.pid",
        "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-flush-method=nosync",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=8M",
    ]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
