"""What systemd runs in a machine, as dataclasses and the text that they become. Pure.

Programs and accounts are the image's (images/files); who they run as, their ports and their secrets come from here.
Nothing that a person chose gets into a unit unchecked: `plain` refuses whatever could begin a line or an expansion.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from instances.providers.base import Spec

ACCOUNT = "visa"
"""The image's own account for what holds secrets: neither root nor the person who works in the machine."""
TLS = {"certificate": "/etc/visa/certificate.pem", "key": "/etc/visa/certificate.key"}
_PLAIN = re.compile(r"[A-Za-z0-9._:/@,+=()-]*")


def plain(value: str) -> str:
    """`value`, which can stand in a unit or an environment file as it is; ValueError for anything else."""
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"{value!r} cannot be passed on to a machine")
    return value


@dataclass(frozen=True, slots=True)
class Unit:
    name: str
    description: str
    command: tuple[str, ...]
    user: str = "root"
    group: str = "root"
    first: tuple[str, ...] = ()
    """A command that must have ended well before `command` begins."""
    needs: tuple[str, ...] = ()
    """Units without which this one does not run."""
    after: tuple[str, ...] = ()
    kind: str = "simple"
    restart: str = "always"
    environment: str = ""
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Root's files, shown to this unit alone: by name, the path."""
    runtime: str = ""
    """A folder below /run, for the unit's user and group."""
    login: bool = False
    """Opens a session of its user, with /run/user/<uid>; what it writes, its groups may change."""
    hardened: bool = False

    def text(self) -> str:
        lines = ["[Unit]", f"Description={self.description}"]
        if self.needs:
            lines += [f"Requires={' '.join(self.needs)}", f"After={' '.join(self.needs)}"]
        if self.after:
            lines += [f"Wants={' '.join(self.after)}", f"After={' '.join(self.after)}"]
        lines += ["", "[Service]", f"Type={self.kind}", f"User={plain(self.user)}", f"Group={plain(self.group)}"]
        lines += [f"EnvironmentFile={self.environment}"] if self.environment else []
        lines += [f"LoadCredential={name}:{path}" for name, path in self.credentials.items()]
        lines += [f"RuntimeDirectory={self.runtime}", "RuntimeDirectoryMode=0750"] if self.runtime else []
        lines += ["PAMName=login", "UMask=0002"] if self.login else []
        lines += ["NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateDevices=yes"] if self.hardened else []
        lines += [f"ExecStartPre={' '.join(map(plain, self.first))}", "TimeoutStartSec=300"] if self.first else []
        lines += [f"ExecStart={' '.join(map(plain, self.command))}"]
        lines += ["RemainAfterExit=yes"] if self.kind == "oneshot" else [f"Restart={self.restart}", "RestartSec=1"]
        return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def units(spec: Spec) -> list[Unit]:
    """In the order in which they are enabled. The firewall stands before anything runs as the owner."""
    firewall = Unit(
        "visa-firewall.service",
        "The metadata service is for root only",
        ("/usr/sbin/nft", "-f", "/etc/visa/firewall.nft"),
        kind="oneshot",
    )
    walled = partial(Unit, group=spec.owner.username, needs=(firewall.name,))
    return [
        firewall,
        *(_desktop(walled, spec.owner.username) if "desktop" in spec.apps else ()),
        *(_jupyter(walled, spec.owner.username) if "jupyter" in spec.apps else ()),
        Unit(
            "visa-report.service",
            "Tells the portal how the boot went and how hard the machine works",
            ("/opt/visa/bin/report",),
            restart="on-failure",
            after=("network-online.target", "remote-fs.target"),
        ),
        Unit(
            "visa-wipe.service",
            "Takes secrets out of cloud-init's files, after each boot",
            ("/opt/visa/bin/wipe",),
            after=("cloud-final.service",),
            kind="oneshot",
        ),
    ]


def _desktop(walled: Callable[..., Unit], person: str) -> tuple[Unit, Unit]:
    display = walled(
        "visa-display.service",
        "Xvnc, under an account that its person is not",
        ("/opt/visa/bin/display",),
        user=ACCOUNT,
        after=("network-online.target",),
        kind="notify",
        environment="/etc/visa/desktop.env",
        credentials={"password": "/etc/visa/desktop.password", **TLS},
        runtime="visa-display",
    )
    session = walled(
        "visa-session.service",
        "The desktop",
        ("/opt/visa/bin/session",),
        user=person,
        after=(display.name, "remote-fs.target"),
        environment="/etc/visa/person.env",
        login=True,
    )
    return display, session


def _jupyter(walled: Callable[..., Unit], person: str) -> tuple[Unit, Unit]:
    lab = walled(
        "visa-jupyter.service",
        "JupyterLab, on a socket",
        ("/opt/jupyter/bin/python", "-m", "jupyterlab", "--no-browser"),
        user=person,
        after=("remote-fs.target",),
        environment="/etc/visa/person.env",
        runtime="visa",
        login=True,
    )
    tls = walled(
        "visa-jupyter-tls.service",
        "TLS for JupyterLab, with a key that its person cannot read",
        ("/usr/bin/stunnel", "/etc/visa/jupyter-tls.conf"),
        first=("/opt/visa/bin/await", "/run/visa/jupyter.sock"),  # its port says that JupyterLab answers
        user=ACCOUNT,
        after=(lab.name, "network-online.target"),
        credentials=TLS,
        hardened=True,
    )
    return lab, tls
