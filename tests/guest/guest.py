"""A machine without a kernel of its own: takes its user-data as cloud-init would, and runs its units as systemd would.

nova's fake driver boots nothing. This boots what nova was really given, on loopback: the accounts by useradd, the files
with their owners and modes, the mounts as bind mounts, and the units' own ExecStart as their own users, with their
credentials and environment files. What differs from a machine: listening on `address` only (VISA_LISTEN, stunnel's
`accept`), no restarts of units, and a firewall that is loaded into a network namespace of its own.
"""

import configparser
import os
import signal
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .roots import Disk

READY_WITHIN = 30.0
CAPABILITIES = ("--cap-add", "ALL")
SYSTEM = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass
class Guest:
    disk: Disk
    user_data: str
    address: str
    storage: Path = Path("/")
    """Where file servers' exports lie on this machine: `server:/a/b` is `storage / "a/b"`."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config: dict[str, Any] = yaml.safe_load(self.user_data)
        self.enabled: list[str] = []
        self._listening: list[socket.socket] = []

    def first_boot(self) -> "Guest":
        """As cloud-init goes: bootcmd, files, mounts, people, runcmd."""
        kept = self.path("/var/lib/cloud/instances/i/user-data.txt")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(self.user_data)
        kept.chmod(0o600)
        if self.config["manage_etc_hosts"] == "localhost":
            self.path("/etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        for command in self.config["bootcmd"]:
            assert command[:2] == ["cloud-init-per", "instance"]
            self.run(command[3:])
        for file in self.config.get("write_files", []):
            self._write(file)
        for _, target, *_ in self.config.get("mounts", []):
            self.path(target).mkdir(parents=True, exist_ok=True)
        for person in self.config["users"]:
            self._add(person)
        for command in self.config.get("runcmd", []):
            if command[0] != "systemctl":
                self.run(command)
            elif command[1] == "enable":
                self.enabled = command[2:]
            elif command[1] == "start":
                self.start(command[3:])
        return self

    def start(self, names: Sequence[str] = ()) -> None:
        """Also for later boots: everything that is enabled."""
        (self.path("/tmp/.X11-unix")).mkdir(exist_ok=True)
        self.path("/tmp/.X11-unix").chmod(0o1777)
        self.path("/tmp/.X1-lock").unlink(missing_ok=True)
        for name in names or self.enabled:
            self._start(name)

    def stop(self) -> None:
        for process in reversed(self.running.values()):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()
        while self._listening:
            self._listening.pop().close()

    def path(self, inside: str) -> Path:
        return self.disk.path / inside.lstrip("/")

    def run(self, command: Sequence[str], *, user: str = "root", **options: Any) -> str:
        """What it prints. As root, or as somebody who works here."""
        done = subprocess.run(
            self._wrapped(command, user=user, environment=SYSTEM | self._home(user)),
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 60),
            check=False,
            **options,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def log(self, unit: str) -> str:
        return self.path(f"/var/log/{unit}.log").read_text(errors="replace")

    def unit(self, name: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(self.path(f"/etc/systemd/system/{name}").read_text())
        return parser

    def _write(self, file: dict[str, Any]) -> None:
        content = b64decode(file["content"]) if file.get("encoding") == "b64" else file["content"].encode()
        if file["path"].endswith("-tls.conf"):
            content = content.replace(b"accept = :::", f"accept = {self.address}:".encode())
        path = self.path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(int(file["permissions"], 8))
        assert file["owner"] == "root:root"

    def _add(self, person: dict[str, Any]) -> None:
        command = ["useradd", person["name"], "--comment", person["gecos"], "--uid", str(person["uid"])]
        command += ["--gid", person["primary_group"], "--shell", person["shell"], "--home-dir", person["homedir"]]
        command += ["--groups", ",".join(person["groups"])] if person["groups"] else []
        self.run([*command, "--no-create-home" if person["no_create_home"] else "--create-home"])

    def _start(self, name: str) -> None:
        service = self.unit(name)["Service"]
        user, group = service["User"], service["Group"]
        environment = SYSTEM | self._home(user) | self._variables(service)
        if user not in ("root", "visa"):
            environment["XDG_RUNTIME_DIR"] = self._folder(f"/run/user/{self._uid(user)}", user, group, 0o700)
        if runtime := service.get("RuntimeDirectory"):
            self._folder(f"/run/{runtime}", user, group, int(service["RuntimeDirectoryMode"], 8))
        if credentials := self._credentials(name):
            environment["CREDENTIALS_DIRECTORY"] = credentials
        notified = self._notified(name, environment) if service["Type"] == "notify" else None
        apart = ("--unshare-net",) if "firewall" in name else ()
        self.path("/var/log").mkdir(parents=True, exist_ok=True)
        with self.path(f"/var/log/{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self._wrapped(_commands(service), user=user, group=group, environment=environment, more=apart),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.running[name] = process
        if service["Type"] == "oneshot":
            assert process.wait(60) == 0, f"{name}: {self.log(name)}"
        elif notified:
            try:
                assert notified.recv(100) == b"READY=1"
            except TimeoutError:
                raise AssertionError(f"{name} is not ready: {self.log(name)}") from None

    def _variables(self, service: configparser.SectionProxy) -> dict[str, str]:
        path = service.get("EnvironmentFile")
        lines = self.path(path).read_text().splitlines() if path else []
        return dict(line.split("=", 1) for line in lines) | {"VISA_LISTEN": self.address}

    def _credentials(self, name: str) -> str:
        """Root's files, as copies that the unit's user alone can read. The parser keeps one of several equal keys."""
        text = self.path(f"/etc/systemd/system/{name}").read_text()
        pairs = [line.partition("=")[2].split(":") for line in text.splitlines() if line.startswith("LoadCredential=")]
        if not pairs:
            return ""
        user = self.unit(name)["Service"]["User"]
        folder = self._folder(f"/run/credentials/{name}", user, "root", 0o500)
        for credential, source in pairs:
            copy = self.path(f"{folder}/{credential}")
            copy.unlink(missing_ok=True)
            copy.write_bytes(self.path(source).read_bytes())
            os.chown(copy, self._uid(user), 0)
            copy.chmod(0o400)
        return folder

    def _notified(self, name: str, environment: dict[str, str]) -> socket.socket:
        environment["NOTIFY_SOCKET"] = f"/run/notify-{name}"
        path = self.path(environment["NOTIFY_SOCKET"])
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        here = os.open(path.parent, os.O_PATH)
        try:  # a path of its own may be too long for a socket's address
            listening.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
        path.chmod(0o666)
        listening.settimeout(READY_WITHIN)
        self._listening.append(listening)
        return listening

    def _wrapped(
        self,
        command: Sequence[str],
        *,
        user: str,
        environment: dict[str, str],
        group: str = "",
        more: Sequence[str] = (),
    ) -> list[str]:
        options = ["bwrap", "--bind", str(self.disk.path), "/", *self.disk.options, "--dev", "/dev", "--proc", "/proc"]
        options += ["--unshare-pid", "--die-with-parent", "--new-session", *CAPABILITIES, *more, "--clearenv"]
        for name, value in environment.items():
            options += ["--setenv", name, value]
        for source, target, _, flags, *_ in self.config.get("mounts", []):
            exported = self.storage / source.partition(":/")[2]
            if self.path(target).exists():
                options += ["--ro-bind" if flags.startswith("ro") else "--bind", str(exported), target]
        if user == "root":
            return [*options, "--", *command]
        identity = ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--init-groups", "--no-new-privs"]
        home = environment.get("HOME", "/")
        changed = ["--chdir", home if self.path(home).exists() else "/"]
        return [*options, *changed, "--", *identity, "--inh-caps=-all", "--bounding-set=-all", "--", *command]

    def _home(self, user: str) -> dict[str, str]:
        home = "/root" if user == "root" else f"/home/{user}"
        return {"HOME": home, "USER": user, "LOGNAME": user, "SHELL": "/bin/bash"}

    def _folder(self, inside: str, user: str, group: str, mode: int) -> str:
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self._uid(user), self._gid(group))
        path.chmod(mode)
        return inside

    def _uid(self, user: str) -> int:
        return self._number("passwd", user)

    def _gid(self, group: str) -> int:
        return self._number("group", group)

    def _number(self, file: str, name: str) -> int:
        rows = (line.split(":") for line in self.path(f"/etc/{file}").read_text().splitlines())
        return next(int(row[2]) for row in rows if row[0] == name)


def _commands(service: configparser.SectionProxy) -> list[str]:
    """ExecStartPre, then ExecStart. None of their words means anything to a shell: see `units.plain`."""
    if first := service.get("ExecStartPre"):
        return ["/bin/sh", "-c", f"{first} && exec {service['ExecStart']}"]
    return service["ExecStart"].split()


def answers(address: str, port: int, seconds: float = 30) -> None:
    """Wait for a listener."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection((address, port), 2).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing answers at {address}:{port}")
