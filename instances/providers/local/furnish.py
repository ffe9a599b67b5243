"""What is laid into the place of an instance before it starts: its /etc, its session's files, links to its data."""

import json
import os
import re
import shutil
from contextlib import suppress
from grp import getgrgid
from pathlib import Path

from auth.digests import digest_of
from instances.errors import ProviderError
from instances.providers.base import Spec
from instances.providers.labels import labels
from instances.providers.session import des

from .places import Place, make
from .sandbox import JUPYTER, as_root, hostname

HERE = Path(__file__).parent
TERMINAL = """[Desktop Entry]
Type=Application
Name=Terminal
Icon=utilities-terminal
Exec=xfce4-terminal
Path=/home/{username}
StartupNotify=true
"""


def furnish(place: Place, spec: Spec, jupyter: Path | None) -> None:
    """Everything anew, so that a start never meets what an earlier one left. Only while nothing of it runs."""
    for folder in (place.etc, place.shared, place.desk, place.run, place.sockets):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
    _etc(make(place.etc, 0o755), spec)
    _shared(make(place.shared, 0o755), place, spec)
    if jupyter:
        _commands(make(place.shared / "bin", 0o755), jupyter)
    _desk(make(place.desk, 0o755), spec)
    make(place.run, 0o700, owner_of(spec))
    make(place.sockets, 0o700)


def home_of(folder: Path, spec: Spec) -> Path:
    """The owner's home, made when they come for the first time; never one that belongs to another account."""
    homes = make(folder / "homes", 0o755)
    home = homes / spec.owner.username
    owner = owner_of(spec) or (os.geteuid(), os.getegid())
    try:
        there = home.lstat()
    except FileNotFoundError:
        return make(home, 0o700, owner_of(spec))
    if not home.is_dir() or home.is_symlink() or there.st_uid not in (owner[0], os.geteuid()):
        raise ProviderError(f"The home of {spec.owner.username} belongs to another account.", retry=False)
    return make(home, 0o700, owner_of(spec))


def owner_of(spec: Spec) -> tuple[int, int] | None:
    """Whom files for the sandbox belong to on the host; None: to us."""
    return (spec.owner.uid, spec.owner.gid) if as_root() else None


def _etc(etc: Path, spec: Spec) -> None:
    owner = spec.owner
    name = "".join(c for c in owner.name if c.isprintable() and c not in ":,")
    (etc / "passwd").write_text(
        f"{owner.username}:x:{owner.uid}:{owner.gid}:{name}:/home/{owner.username}:/bin/bash\n"
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    groups = {owner.gid: owner.username} | {gid: _group(gid) for gid in owner.groups if gid != owner.gid}
    (etc / "group").write_text("root:x:0:\n" + "".join(f"{n}:x:{gid}:{owner.username}\n" for gid, n in groups.items()))
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost {hostname(spec)}\n::1 localhost\n")
    (etc / "hostname").write_text(f"{hostname(spec)}\n")
    (etc / "machine-id").write_text(f"{spec.id}\n")
    (etc / "profile").write_text('[ -z "$BASH" ] || . /etc/bash.bashrc\n')
    (etc / "jupyter").mkdir(mode=0o755)
    _copy(HERE / "jupyter", etc / "jupyter")


def _group(gid: int) -> str:
    try:
        return getgrgid(gid).gr_name
    except KeyError:
        return f"group{gid}"


def _shared(shared: Path, place: Place, spec: Spec) -> None:
    _copy(HERE.parent / "session", shared / "session")
    settings = {"keyboard": spec.keyboard, "screens": [[s.width, s.height] for s in spec.screens]}
    (shared / "session.json").write_text(json.dumps(settings))
    key = des.password_key(place.secret_of("desktop"))
    _private(shared / "vnc", des.encrypt(des.FILE_KEY, key), spec)
    _private(shared / "token.sha256", digest_of(place.secret_of("jupyter")).encode(), spec)


def _desk(desk: Path, spec: Spec) -> None:
    for target, label in labels(spec.mounts).items():
        (desk / label.replace("/", "-")).symlink_to(target)
    if "desktop" in spec.apps:
        (desk / "terminal.desktop").write_text(TERMINAL.format(username=spec.owner.username))
        (desk / "terminal.desktop").chmod(0o755)
    else:
        (desk / "home").symlink_to(f"/home/{spec.owner.username}")


def _commands(target: Path, jupyter: Path) -> None:
    """JupyterLab's commands name their Python by its path on the host; inside it has another."""
    for script in (jupyter / "bin").iterdir():
        if script.is_file():
            first, newline, rest = script.read_bytes().partition(b"\n")
            if re.fullmatch(rb"#!.*/bin/python[0-9.]*", first):
                (target / script.name).write_bytes(f"#!{JUPYTER}/bin/python".encode() + newline + rest)
                (target / script.name).chmod(0o755)


def _private(path: Path, content: bytes, spec: Spec) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if owner := owner_of(spec):
            os.fchown(descriptor, *owner)


def _copy(source: Path, target: Path) -> None:
    """Our own files, readable by anybody inside whatever the modes of our checkout are."""
    make(target, 0o755)
    for item in source.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            _copy(item, target / item.name)
        elif item.is_file():
            shutil.copyfile(item, target / item.name)
            (target / item.name).chmod(0o644)
