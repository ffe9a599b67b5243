"""The apps' sockets, as the broker may trust them, and whether an app answers.

Inside, the owner may do anything with /run/visa: put a link there to a socket of the host, for example, and have the
broker, perhaps root, connect to it. So nobody outside uses that folder: the socket itself, seen to be a socket and the
owner's, is hard-linked into a folder that no sandbox can see.
"""

import hashlib
import os
import secrets
import socket
import stat
from contextlib import suppress
from pathlib import Path

from instances.errors import ProviderError

from .places import Place, make

LONGEST = 100
"""Bytes of a socket's address; the kernel takes 107."""
ANSWER_WITHIN = 0.5


def address(place: Place, app: str) -> Path:
    """Where the broker connects, short enough for the kernel."""
    path = place.sockets / f"{app}.sock"
    if len(os.fsencode(path)) <= LONGEST:
        return path
    return _shortcut(place.path.parent) / place.id / "sockets" / path.name


def secure(place: Place, app: str, uid: int) -> bool:
    """Make `address` lead to the socket that the app listens on now; False while there is none that may be trusted."""
    offered, kept = place.run / f"{app}.sock", place.sockets / f"{app}.sock"
    new = place.sockets / f".{secrets.token_hex(4)}"
    try:
        if _same(offered, kept):
            return True
        os.link(offered, new, follow_symlinks=False)
        found = new.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            return False
        new.rename(kept)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            new.unlink()
    return True


def answers(place: Place, app: str, secret: str) -> bool:
    probe = {"desktop": _greets, "jupyter": _serves}[app]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_WITHIN)
        try:
            connection.connect(str(address(place, app)))
            return probe(connection, secret)
        except OSError:
            return False


def _greets(connection: socket.socket, _: str) -> bool:
    return connection.recv(12).startswith(b"RFB ")


def _serves(connection: socket.socket, secret: str) -> bool:
    request = (
        f"GET /api/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {secret}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(request.encode())
    return connection.recv(64).split(b" ")[1:2] == [b"200"]


def _same(offered: Path, kept: Path) -> bool:
    try:
        return os.path.samestat(offered.lstat(), kept.lstat())
    except FileNotFoundError:
        return False


def _shortcut(instances: Path) -> Path:
    """A short link to `instances` in a folder that is ours alone."""
    base = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))  # noqa: S108 - checked
    try:
        ours = make(base / f"visa-{os.geteuid()}", 0o700)
        if ours.lstat().st_uid != os.geteuid():
            raise PermissionError(f"{ours} belongs to somebody else")
        link = ours / hashlib.sha256(os.fsencode(instances)).hexdigest()[:12]
        with suppress(FileExistsError):
            link.symlink_to(instances)
    except OSError as error:
        raise ProviderError(f"No short address for the sockets of {instances}: {error}.", retry=True) from error
    return link
