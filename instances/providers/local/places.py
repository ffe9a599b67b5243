"""Where the local provider keeps the files of an instance, and how they are written and locked.

<folder>/homes/<username>/          a person's home, in all of their instances
<folder>/instances/<id>/
    spec.json  process  status      what is wanted, which process it became, what bubblewrap said of it
    stopped                         the generation that we ended ourselves
    limits  secret  log  lock
    etc/  shared/  desk/            seen inside, read-only: /etc, /opt/visa, /desk
    run/                            seen inside, writable: /run/visa, where the apps' sockets appear
    sockets/                        the same sockets, for the broker (see `sockets.py`)
"""

import dataclasses
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from instances.errors import ProviderError
from instances.providers.base import Account, Mount, Screen, Spec
from instances.providers.console import readable

ID = re.compile(r"[0-9a-f]{32}")
LOCK_PATIENCE = 20.0
LOG_LIMIT = 1 << 20
LOG_KEPT = 64 << 10


class Place:
    """The folder of one instance. Nothing in it is writable from inside, except `run`."""

    def __init__(self, folder: Path, instance_id: str) -> None:
        if not ID.fullmatch(instance_id):
            raise ProviderError("An instance's id is 32 hex digits.", retry=False)
        self.id = instance_id
        self.path = folder / "instances" / instance_id
        self.spec_file = self.path / "spec.json"
        self.process = self.path / "process"
        self.status = self.path / "status"
        self.stopped = self.path / "stopped"
        self.limits = self.path / "limits"
        self.secret_file = self.path / "secret"
        self.log = self.path / "log"
        self.etc = self.path / "etc"
        self.shared = self.path / "shared"
        self.desk = self.path / "desk"
        self.run = self.path / "run"
        self.sockets = self.path / "sockets"

    def exists(self) -> bool:
        """False only when the list of all instances could be read and has no such folder."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            listed(self.path.parent)
            return False
        except OSError as error:
            raise unreadable(self.path, error) from error
        return True

    def spec(self) -> Spec | None:
        text = read(self.spec_file)
        return _spec(json.loads(text)) if text else None

    def write_spec(self, spec: Spec) -> None:
        write(self.spec_file, json.dumps(dataclasses.asdict(spec)))

    def secret_of(self, app: str) -> str:
        """What opens an app of this instance; made when first asked for. VNC reads no more than eight characters."""
        known = read(self.secret_file)
        if not known:
            known = secrets.token_urlsafe(48)
            write(self.secret_file, known)
        return known[:8] if app == "desktop" else known[8:]

    @contextmanager
    def locked(self) -> Iterator[int]:
        """One process at a time makes, ends or removes this instance; yields the lock's descriptor.

        A process that inherits the descriptor keeps the lock until it closes it, even if its parent dies.
        """
        lock = self._lock()
        try:
            yield lock
        finally:
            os.close(lock)

    def _lock(self) -> int:
        until = time.monotonic() + LOCK_PATIENCE
        while time.monotonic() < until:
            try:
                lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise unreadable(self.path, error) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_ino == (self.path / "lock").stat().st_ino:
                    return lock
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(lock)
            time.sleep(0.01)
        raise ProviderError("Another worker is busy with this instance.", retry=True)

    def last_words(self) -> str:
        """The last line of the log that says something."""
        for line in reversed(read(self.log, errors="replace")[-LOG_KEPT:].splitlines()):
            said = re.sub(r"^\[\w [\d-]+ [\d:.]+ \w+\] ?", "", line).strip()
            if said and not said.startswith(("Traceback", "^", "~")):
                return said[:300]
        return ""

    def console(self) -> str:
        """The end of the log, for people."""
        secret = read(self.secret_file)
        return readable(read(self.log, errors="replace")[-LOG_KEPT:], (secret, secret[:8], secret[8:]))

    def trim_log(self) -> None:
        """What an instance writes must not fill the disk; it appends, so the file may be cut under its feet."""
        with suppress(OSError):
            if self.log.stat().st_size > LOG_LIMIT:
                with self.log.open("rb+") as log:
                    log.seek(-LOG_KEPT, os.SEEK_END)
                    kept = log.read()
                    log.truncate(0)
                    log.seek(0)
                    log.write(kept)

    def remove(self) -> None:
        """Out of the list at once, then file by file; links are removed, never followed."""
        gone = self.path.with_name(f".gone-{self.id}-{secrets.token_hex(4)}")
        self.path.rename(gone)
        for left in self.path.parent.glob(".gone-*"):
            shutil.rmtree(left, ignore_errors=True)


def listed(instances: Path) -> list[str]:
    """The ids of all instances. A folder that cannot be read is no empty folder."""
    try:
        return sorted(path.name for path in instances.iterdir() if ID.fullmatch(path.name))
    except OSError as error:
        raise unreadable(instances, error) from error


def unreadable(path: Path, error: OSError) -> ProviderError:
    return ProviderError(f"{path} cannot be read: {error.strerror}.", retry=True)


def read(path: Path, errors: str = "strict") -> str:
    """The text of `path`, or nothing where there is none yet."""
    try:
        return path.read_text(errors=errors)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise unreadable(path, error) from error


def write(path: Path, text: str) -> None:
    """All of it or nothing of it, on disk, readable by us alone."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        new.rename(path)
    except OSError as error:
        raise ProviderError(f"{path} cannot be written: {error.strerror}.", retry=True) from error


def make(path: Path, mode: int, owner: tuple[int, int] | None = None) -> Path:
    """A real folder, not a link to one, with exactly this mode and owner."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if owner:
            os.fchown(opened, *owner)
        os.fchmod(opened, mode)
    finally:
        os.close(opened)
    return path


def _spec(stored: dict[str, object]) -> Spec:
    kinds = {"mounts": Mount, "screens": Screen}
    fields: dict[str, object] = {"apps": tuple(_list(stored["apps"]))}
    for name, kind in kinds.items():
        fields[name] = tuple(kind(**item) for item in _list(stored[name]))
    owner = stored["owner"]
    assert isinstance(owner, dict)
    fields["owner"] = Account(**owner | {"groups": tuple(owner["groups"])})
    return Spec(**stored | fields)  # type: ignore[arg-type]


def _list(value: object) -> list[dict[str, int]]:
    assert isinstance(value, list)
    return value
