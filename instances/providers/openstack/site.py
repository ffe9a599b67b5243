"""What a facility says of its machines in OpenStack: where data lies, on which ports apps answer, what else to lay in.

A JSON file named by the cloud's setting `site`; see docs/howto/images.md. With a mistake in it nothing is started.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import yaml

PORTS = {"desktop": 5901, "jupyter": 8888}
KINDS = ("nfs", "cephfs", "lustre")
_OPTION = re.compile(r"[A-Za-z0-9._:/=@+-]+")
_SOURCE = re.compile(r"[A-Za-z0-9._:,@\[\]-]+:/[A-Za-z0-9._/@+-]*")
_WORD = re.compile(r"[A-Za-z0-9._-]+")


class SiteError(ValueError):
    """The file makes no sense; says where."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Folders below `path`, as the portal names them, are found at `source` on a file server."""

    path: PurePosixPath
    kind: str
    source: str
    options: tuple[str, ...] = ()
    user: str = ""
    """CephX user of a CephFS share; its key lies in the machine's root-only /etc/visa/ceph-<user>."""
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """How one environment's image differs."""

    ports: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """By app; `guacd` and `pam` too, where an image of VISA has them."""
    foreign: bool = False
    """An image made for VISA: it gets VISA's metadata and its own boot command, and none of our units."""
    boot_command: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    storage: tuple[Storage, ...] = ()
    homes: PurePosixPath | None = None
    """Folder with everybody's home, below a storage's path; None: a home lives and dies with its machine."""
    brokers: tuple[str, ...] = ()
    """Networks from which the apps may be reached, by the machine's own firewall too; empty: security groups only."""
    timezone: str = "UTC"
    pam_public_key: str = ""
    environments: Mapping[str, Machine] = field(default_factory=lambda: MappingProxyType({}))
    vendor: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """A cloud-config of the facility's own, see `userdata.merged`."""

    def machine(self, environment: str) -> Machine:
        return self.environments.get(environment, Machine())

    def port(self, environment: str, app: str) -> int:
        """KeyError for an app that has no port."""
        return {**PORTS, **self.machine(environment).ports}[app]

    def foreign(self, environment: str) -> bool:
        return self.machine(environment).foreign


def read(file: Path) -> Site:
    """SiteError names the first thing that is wrong."""
    try:
        values = json.loads(file.read_text())
        return _site(values, file.parent)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise SiteError(f"{file.name}: {error or type(error).__name__}") from error


def _site(values: dict[str, Any], beside: Path) -> Site:
    _known(values, "storage homes brokers timezone pam_public_key environments vendor_data")
    storage = tuple(_storage(dict(one), beside) for one in values.get("storage", []))
    homes = PurePosixPath(values["homes"]) if values.get("homes") else None
    if homes and not any(homes.is_relative_to(one.path) for one in storage):
        raise SiteError(f"homes: {homes} lies in no storage")
    return Site(
        storage=storage,
        homes=homes,
        brokers=tuple(str(ipaddress.ip_network(one)) for one in values.get("brokers", [])),
        timezone=_matching(re.compile(r"[A-Za-z0-9_+/-]+"), values.get("timezone", "UTC"), "timezone"),
        pam_public_key=str(values.get("pam_public_key", "")),
        environments={name: _machine(name, one) for name, one in values.get("environments", {}).items()},
        vendor=_vendor(beside / values["vendor_data"]) if values.get("vendor_data") else {},
    )


def _storage(one: dict[str, Any], beside: Path) -> Storage:
    _known(one, "path kind source options user key_file")
    path = PurePosixPath(one["path"])
    if not path.is_absolute() or ".." in path.parts:
        raise SiteError(f"storage: {path} is no absolute path")
    if one["kind"] not in KINDS:
        raise SiteError(f"storage {path}: kind is {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    return Storage(
        path=path,
        kind=one["kind"],
        source=_matching(_SOURCE, one["source"], f"storage {path}: source"),
        options=tuple(_matching(_OPTION, option, f"storage {path}: option") for option in one.get("options", [])),
        user=_matching(_WORD, one["user"], f"storage {path}: user") if one.get("user") else "",
        key=(beside / one["key_file"]).read_text().strip() if one.get("key_file") else "",
    )


def _machine(name: str, one: dict[str, Any]) -> Machine:
    _known(one, "ports visa_image boot_command")
    ports = {app: int(port) for app, port in one.get("ports", {}).items()}
    if wrong := [app for app, port in ports.items() if not 0 < port < 65536]:
        raise SiteError(f"environments {name}: {wrong[0]} has no port that exists")
    return Machine(ports, bool(one.get("visa_image", False)), str(one.get("boot_command", "")))


def _vendor(file: Path) -> dict[str, Any]:
    text = file.read_text()
    if not text.startswith("#cloud-config"):
        raise SiteError(f"vendor_data: {file.name} does not begin with #cloud-config")
    found = yaml.safe_load(text)
    if not isinstance(found, dict):
        raise SiteError(f"vendor_data: {file.name} holds no settings")
    return found


def _known(values: Mapping[str, Any], names: str) -> None:
    if unknown := sorted(set(values) - set(names.split())):
        raise SiteError(f"there is no setting {unknown[0]!r}")


def _matching(pattern: re.Pattern[str], value: Any, where: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise SiteError(f"{where}: {value!r} is not possible")
    return value
