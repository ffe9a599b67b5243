"""`Testbed`: an OpenStack that starts in half a minute, and what tests do to it."""

import contextlib
import fcntl
import hashlib
import json
import shutil
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import openstack

from tests.catalogues.rabbit import PASSWORD as RABBIT_PASSWORD
from tests.catalogues.rabbit import USER as RABBIT_USER
from tests.catalogues.rabbit import Rabbit

from . import contents, schema
from .configuration import APIS, ENVIRONMENT, HERE, ROOT, Layout, installed
from .processes import Processes

KEPT = ("database", "keystone", "nova", "images", "credential.json")
"""Of the folder: what a new start begins with."""


class Testbed:
    """`with Testbed() as testbed:`; everything ends and is forgotten with it."""

    def __enter__(self) -> Self:
        installed()
        template = _template()
        with contextlib.ExitStack() as stack:
            self._open(stack)
            with tarfile.open(template) as archive:
                archive.extractall(self.layout.folder, filter="data")
            schema.write_start(self.layout)
            self.processes.start("database")
            self.processes.accept("database", self.layout.database_port)
            began = datetime.now(UTC).replace(microsecond=0)  # as exact as nova's own times
            for name in (*APIS, *schema.NOVA):
                self.processes.start(name)
            self.processes.answer(*APIS)
            schema.await_nova(self.layout, self.processes, since=began)
            contents.write_clouds(self.layout)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def admin(self) -> openstack.connection.Connection:
        """The administrator, in the project that the tests use."""
        return schema.connect(self.layout, "admin", "visa")

    @property
    def clouds_file(self) -> Path:
        """clouds.yaml with `testbed`, an application credential of a plain member, and `testbed-admin`."""
        return self.layout.clouds_file

    @property
    def guests(self) -> Path:
        """Holds a file for each guest that is on (see `plugins/testbed_guests.py`)."""
        return self.layout.folder / "guests"

    @contextlib.contextmanager
    def faults(self, **fault: object) -> Iterator[None]:
        """The next builds meet this (see `plugins/testbed_guests.py`)."""
        file = self.layout.folder / "faults.json"
        file.write_text(json.dumps(fault))
        try:
            yield
        finally:
            file.unlink()

    def kill(self, api: str) -> None:
        """At once: connections are refused from now on."""
        self.processes.end(api, signal.SIGKILL)

    def start(self, api: str) -> None:
        self.processes.start(api)
        self.processes.answer(api)

    def make(self, archive: Path) -> None:
        """A cloud from nothing, stopped and packed into `archive`."""
        with contextlib.ExitStack() as stack:
            self._open(stack)
            schema.make_database(self.layout)
            self.processes.start("database")
            self.processes.accept("database", self.layout.database_port)
            schema.make_schemas(self.layout)
            self.processes.start("keystone")
            self.processes.answer("keystone")
            schema.make_accounts(self.layout)
            for name in (*APIS, *schema.NOVA):
                if name != "keystone":
                    self.processes.start(name)
            self.processes.answer(*APIS)
            schema.map_host(self.layout, self.processes)
            contents.publish(self.layout)
            self.processes.end_all()
            with tarfile.open(archive, "w:gz", compresslevel=3) as packed:
                for name in KEPT:
                    packed.add(self.layout.folder / name, name)

    def _open(self, stack: contextlib.ExitStack) -> None:
        """A folder, ports, configuration, a message broker."""
        folder = Path(tempfile.mkdtemp(prefix="visa-openstack-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        rabbit = stack.enter_context(Rabbit(folder / "rabbit"))
        self.layout = Layout(folder, f"rabbit://{RABBIT_USER}:{RABBIT_PASSWORD}@127.0.0.1:{rabbit.port}/")
        self.layout.write()
        self.processes = Processes(self.layout)
        stack.callback(self.processes.end_all)


def _template() -> Path:
    """The packed cloud, made by one process where there is none yet for this version of its parts."""
    parts = [ROOT / "requirements/openstack.txt", *(HERE / f"{name}.py" for name in ("schema", "contents", "testbed"))]
    version = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:16]
    template = ENVIRONMENT / "testbed" / f"{version}.tar.gz"
    template.parent.mkdir(exist_ok=True)
    with (template.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            new = template.with_suffix(".new")
            Testbed().make(new)
            new.rename(template)
    return template
