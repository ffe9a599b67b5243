"""From granted folders to lines of a machine's /etc/fstab, and the files of its write_files. Pure."""

import json
import re
from pathlib import PurePosixPath
from typing import Any

from instances.providers.base import Mount, Spec

from .site import Site, Storage

_FOLDER = re.compile(r"/[A-Za-z0-9._/@+=,-]*")
SAFE = ("nosuid", "nodev")
LAZY = ("_netdev", "nofail")
"""A file server that is away delays no boot; the report says which folder is missing."""
Line = tuple[str, str, str, str, str, str]


def fstab(spec: Spec, site: Site) -> list[Line]:
    """One line for each granted folder and for the home, outer folders first. ValueError names what has no place."""
    wanted = list(spec.mounts)
    if site.homes:
        name = spec.owner.username
        wanted.append(Mount(str(site.homes / name), f"/home/{name}", writable=True))
    by_target = {mount.target: mount for mount in wanted}
    if len(by_target) != len(wanted):
        raise ValueError("two folders would appear in one place")
    return [_line(by_target[target], site) for target in sorted(by_target, key=lambda path: PurePosixPath(path).parts)]


def _line(mount: Mount, site: Site) -> Line:
    for path in (mount.source, mount.target):
        if not _FOLDER.fullmatch(path) or ".." in PurePosixPath(path).parts:
            raise ValueError(f"a folder called {path!r} cannot be mounted")
    storage = _storage(mount.source, site)
    below = PurePosixPath(mount.source).relative_to(storage.path)
    server, _, exported = storage.source.partition(":/")
    options = ["rw" if mount.writable else "ro", *SAFE, *LAZY, *storage.options]
    if storage.kind == "cephfs" and storage.user:
        options += [f"name={storage.user}", f"secretfile={_key_path(storage)}"]
    kind = {"nfs": "nfs", "cephfs": "ceph", "lustre": "lustre"}[storage.kind]
    return f"{server}:{PurePosixPath('/', exported, below)}", mount.target, kind, ",".join(options), "0", "0"


def _storage(path: str, site: Site) -> Storage:
    """The innermost that holds `path`."""
    holding = [storage for storage in site.storage if PurePosixPath(path).is_relative_to(storage.path)]
    if not holding:
        raise ValueError(f"no storage of this cloud holds {path}")
    return max(holding, key=lambda storage: len(storage.path.parts))


def keys(site: Site) -> list[dict[str, Any]]:
    """CephX keys, for root's mount helper alone."""
    return [secret(_key_path(storage), storage.key) for storage in site.storage if storage.key]


def _key_path(storage: Storage) -> str:
    return f"/etc/visa/ceph-{storage.user}"


def secret(path: str, content: str, encoding: str = "text/plain") -> dict[str, Any]:
    """A file that only root can read."""
    return {"path": path, "content": content, "encoding": encoding, "owner": "root:root", "permissions": "0600"}


def public(path: str, content: str) -> dict[str, Any]:
    return {"path": path, "content": content, "owner": "root:root", "permissions": "0644"}


def as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1)
