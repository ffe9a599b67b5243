"""What a machine is told at its first boot: cloud-init's user-data, from a spec, its secrets and the facility's site.

Pure. Dataclasses become one dictionary, and PyYAML's safe dumper its text: nothing is pasted together, so that no name
can break out. What is secret in it, where it goes and who can read it there: docs/explanation/first-boot.md.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import yaml

from instances.errors import ProviderError
from instances.providers.base import Spec
from instances.providers.labels import labels
from instances.providers.secrets import Secrets
from instances.providers.session import des

from . import mounts
from .site import Site
from .units import Unit, plain, units

HEADER = "#cloud-config\n"
LIMIT = 65535
"""Bytes of user-data that nova takes, counted in base64."""
METADATA_LIMIT = 255
"""Characters of a value in a server's metadata."""
USERNAME = re.compile(r"[a-z_][a-z0-9._-]{0,31}")
KEYBOARD = re.compile(r"[a-z0-9_,()-]{1,64}")
SERVICE_V4, SERVICE_V6 = "169.254.169.254", "fe80::a9fe:a9fe"


def render(spec: Spec, secrets: Secrets, site: Site, *, portal: str) -> str:
    """The user-data, not yet in base64. ProviderError for what no machine can be told."""
    try:
        text = HEADER + _yaml(cloud_config(spec, secrets, site, portal))
    except ValueError as error:
        raise ProviderError(f"The machine cannot be prepared: {error}.", retry=False) from error
    if len(b64encode(text.encode())) > LIMIT:
        raise ProviderError("The machine cannot be prepared: it would see too many folders at once.", retry=False)
    return text


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are, to be read by people too."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(values: dict[str, Any]) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def digest(spec: Spec, site: Site) -> str:
    """Changes when a machine that exists would have to be told something else: other data, groups or screens."""
    told = (spec.owner, spec.mounts, spec.screens, spec.keyboard, spec.apps, mounts.fstab(spec, site))
    return sha256(repr(told).encode()).hexdigest()[:32]


def metadata(spec: Spec, site: Site) -> dict[str, str]:
    """The keys that VISA sets, for images and scripts that were made for it."""
    screen = spec.screens[0]
    found = {
        "id": spec.id,
        "uid": spec.id,
        "owner": spec.owner.username,
        "screenWidth": str(sum(each.width for each in spec.screens)),
        "screenHeight": str(screen.height),
        "keyboardLayout": spec.keyboard,
        "instruments": spec.labels.get("instruments", ""),
        "proposals": spec.labels.get("proposals", ""),
        "pamPublicKey": site.pam_public_key,
    }
    return {name: value[:METADATA_LIMIT] for name, value in found.items() if value or name != "pamPublicKey"}


def cloud_config(spec: Spec, secrets: Secrets, site: Site, portal: str) -> dict[str, Any]:
    """The dictionary. ValueError for names that a machine cannot have."""
    environment = spec.labels.get("environment", "")
    if not USERNAME.fullmatch(spec.owner.username) or spec.owner.uid < 1000 or spec.owner.gid < 1000:
        raise ValueError(f"“{spec.owner.username}” cannot be a person's account on it")
    if not KEYBOARD.fullmatch(spec.keyboard):
        raise ValueError(f"there is no keyboard {spec.keyboard!r}")
    told: dict[str, Any] = {
        "hostname": f"visa-{spec.id[:8]}",
        "manage_etc_hosts": "localhost",
        "timezone": site.timezone,
        "ssh_pwauth": False,
        "disable_root": True,
        "bootcmd": _groups(spec),
        "users": [_person(spec, site)],
    }
    if fstab := mounts.fstab(spec, site):
        told["mounts"] = [list(line) for line in fstab]
    machine = site.machine(environment)
    commands: list[str | list[str]]
    if machine.foreign:
        files = mounts.keys(site)
        commands = [machine.boot_command] if machine.boot_command else []
    else:
        services = units(spec)
        files = [*mounts.keys(site), *_files(spec, secrets, site, services, portal)]
        commands = [*_desk(spec), *_enabled(services)]
    if files:
        told["write_files"] = files
    if commands:
        told["runcmd"] = commands
    return merged(told, site.vendor)


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Both, like cloud-init's `list(append)+dict(no_replace,recurse_dict)+str()`: lists are joined, ours stays."""
    found = dict(ours)
    for name, value in theirs.items():
        mine = found.get(name)
        if name not in found:
            found[name] = value
        elif isinstance(mine, dict) and isinstance(value, dict):
            found[name] = merged(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            found[name] = [*mine, *value]
    return found


def _groups(spec: Spec) -> list[list[str]]:
    """Cloud-init cannot give groups their numbers. Once for each machine, before it makes the person."""
    names = {spec.owner.gid: spec.owner.username} | {gid: f"data{gid}" for gid in _further(spec)}
    once = ("cloud-init-per", "instance")
    return [[*once, f"visa-group-{gid}", "groupadd", "--gid", str(gid), name] for gid, name in names.items()]


def _further(spec: Spec) -> list[int]:
    groups = sorted(set(spec.owner.groups) - {spec.owner.gid})
    if any(gid < 1000 for gid in groups):
        raise ValueError("nobody gets a system's group")
    return groups


def _person(spec: Spec, site: Site) -> dict[str, Any]:
    owner = spec.owner
    return {
        "name": owner.username,
        "gecos": "".join(c for c in owner.name if c.isprintable() and c not in ":,"),
        "uid": owner.uid,
        "primary_group": owner.username,
        "groups": [f"data{gid}" for gid in _further(spec)],
        "homedir": f"/home/{owner.username}",
        "no_create_home": site.homes is not None,
        "shell": "/bin/bash",
        "lock_passwd": True,
    }


def _files(spec: Spec, secrets: Secrets, site: Site, services: list[Unit], portal: str) -> list[dict[str, Any]]:
    environment = spec.labels.get("environment", "")
    ports = {app: site.port(environment, app) for app in spec.apps}
    files = [
        mounts.secret("/etc/visa/guest.json", mounts.as_json(_guest(spec, secrets, ports, portal))),
        mounts.secret("/etc/visa/certificate.key", secrets.private_key),
        mounts.public("/etc/visa/certificate.pem", secrets.certificate),
        mounts.public("/etc/visa/firewall.nft", _firewall(site, sorted(ports.values()))),
        mounts.public("/etc/visa/person.env", _variables(_person_environment(spec))),
    ]
    if "desktop" in ports:
        screens = ",".join(f"{screen.width}x{screen.height}" for screen in spec.screens)
        settings = {"VISA_LISTEN": "", "VISA_PORT": ports["desktop"], "VISA_SCREENS": screens}
        hidden = des.encrypt(des.FILE_KEY, des.password_key(secrets.desktop))
        files += [
            mounts.public("/etc/visa/desktop.env", _variables({**settings, "VISA_KEYBOARD": spec.keyboard})),
            mounts.secret("/etc/visa/desktop.password", b64encode(hidden).decode(), encoding="b64"),
        ]
    if "jupyter" in ports:
        files += [
            mounts.public("/opt/visa/token.sha256", sha256(secrets.jupyter.encode()).hexdigest()),
            mounts.public("/etc/visa/jupyter-tls.conf", _stunnel(ports["jupyter"])),
        ]
    return [*files, *(mounts.public(f"/etc/systemd/system/{unit.name}", unit.text()) for unit in services)]


def _guest(spec: Spec, secrets: Secrets, ports: Mapping[str, int], portal: str) -> dict[str, Any]:
    """What the report needs. The token is worth one report."""
    return {
        "portal": portal,
        "token": secrets.boot,
        "apps": dict(ports),
        "mounts": [mount.target for mount in spec.mounts],
        "certificate": "/etc/visa/certificate.pem",
    }


def _person_environment(spec: Spec) -> dict[str, object]:
    threads = max(1, int(spec.cores))
    return {
        "LANG": "C.UTF-8",
        "PATH": "/opt/jupyter/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
        "XDG_CONFIG_DIRS": "/opt/visa/session/xdg:/etc/xdg",
        "XDG_DATA_DIRS": "/usr/local/share:/usr/share",
        "NO_AT_BRIDGE": "1",
        "GTK_A11Y": "none",
        "OPENBLAS_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "VISA_SOCKET_MODE": "0660",
    }


def _variables(values: Mapping[str, object]) -> str:
    return "".join(f"{name}={plain(str(value))}\n" for name, value in values.items())


def _stunnel(port: int) -> str:
    """Its two files are credentials of its unit; what it listens on can be set apart from all addresses by a test."""
    folder = "/run/credentials/visa-jupyter-tls.service"
    return (
        "foreground = quiet\nsyslog = no\npid =\n[jupyter]\n"
        f"accept = :::{port}\nconnect = /run/visa/jupyter.sock\ncert = {folder}/certificate\nkey = {folder}/key\n"
        "sslVersionMin = TLSv1.2\n"
    )


def _firewall(site: Site, ports: list[int]) -> str:
    """Root alone asks the metadata service, where this very text can be read; brokers alone reach the apps."""
    rules = [
        f"add rule inet visa out ip daddr {SERVICE_V4} meta skuid != 0 reject",
        f"add rule inet visa out ip6 daddr {SERVICE_V6} meta skuid != 0 reject",
    ]
    if site.brokers:
        apps = f"tcp dport {{ {', '.join(map(str, ports))} }}"
        for family in ("ip", "ip6"):
            known = [network for network in site.brokers if (":" in network) == (family == "ip6")]
            others = f" {family} saddr != {{ {', '.join(known)} }}" if known else ""
            version = "ipv6" if family == "ip6" else "ipv4"
            rules.append(f'add rule inet visa in iifname != "lo" meta nfproto {version}{others} {apps} drop')
    chains = [
        "add table inet visa",
        "flush table inet visa",
        "add chain inet visa out { type filter hook output priority 0; }",
        "add chain inet visa in { type filter hook input priority 0; }",
    ]
    return "\n".join([*chains, *rules, ""])


def _desk(spec: Spec) -> list[list[str]]:
    """Readable links to the granted folders: what the desktop shows, and where JupyterLab begins."""
    home = f"/home/{spec.owner.username}"
    links = [(target, label.replace("/", "-")) for target, label in labels(spec.mounts).items()]
    return [["mkdir", "-p", "/desk"], *(["ln", "-sfn", to, f"/desk/{name}"] for to, name in [*links, (home, "home")])]


def _enabled(services: list[Unit]) -> list[list[str]]:
    """Not waited for: one of them begins only after cloud-init, which would wait for it."""
    names = [unit.name for unit in services]
    return [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", *names],
        ["systemctl", "start", "--no-block", *names],
    ]
