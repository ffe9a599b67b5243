"""The desktop, from inside the sandbox: Xvnc, its monitors, then Xfce's parts, kept up until we are told to end.

It runs with the system's Python and nothing else; the portal lays it under /opt/visa with `session.json` beside it.
On a machine of its own, Xvnc and the bus are somebody else's (images/files), and the parts are the same.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from . import des, screens

SHARED = Path("/opt/visa")
SOCKET = Path("/run/visa/desktop.sock")
DISPLAY = ":1"
PARTS = {
    "xfsettingsd": ["xfsettingsd", "--no-daemon", "--replace"],
    "xfwm4": ["xfwm4", "--compositor=off", "--replace"],
    "xfce4-panel": ["xfce4-panel", "--disable-wm-check"],
    "xfdesktop": ["xfdesktop", "--disable-wm-check"],
}
"""Without xfce4-session: no saved sessions, no locker, and half a second less."""
FAREWELL = 1.5
"""Seconds that programs have to write what they hold."""
RESTARTS = 20
"""Of all parts together, before what keeps ending is left alone."""


def main() -> int:
    settings = json.loads((SHARED / "session.json").read_text())
    sizes = [(width, height) for width, height in settings["screens"]]
    be_at_home()
    signal.signal(signal.SIGTERM, _leave)
    xvnc, ready = _start_xvnc(sizes[0])
    bus = _start_bus()
    with ready:
        if not ready.readline():
            _say("Xvnc did not start")
            return 1
    keyboard = subprocess.Popen(["setxkbmap", "-layout", settings["keyboard"]])
    if len(sizes) > 1:
        try:
            screens.lay_out(SOCKET, des.password_key(_password()), sizes)
        except OSError as error:  # a desktop on one screen is better than none
            _say(f"The screens could not be laid out: {error}")
    keyboard.wait()
    return _keep_up(xvnc, bus)


def be_at_home() -> None:
    os.environ["DISPLAY"] = DISPLAY
    os.environ["XDG_CURRENT_DESKTOP"] = os.environ["DESKTOP_SESSION"] = "XFCE"
    os.environ["XDG_MENU_PREFIX"] = "xfce-"
    os.environ["XDG_SESSION_TYPE"] = "x11"
    Path(os.environ["XDG_RUNTIME_DIR"]).mkdir(mode=0o700, exist_ok=True)
    os.chdir(os.environ["HOME"])
    _know_the_folders(Path.home() / ".config/user-dirs.dirs")


def _know_the_folders(file: Path) -> None:
    """The links to this instance's data are its desktop; a desktop folder that its owner chose stays theirs."""
    known = file.read_text() if file.exists() else ""
    if "XDG_DESKTOP_DIR" not in known:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'{known}XDG_DESKTOP_DIR="/desk"\n')


def _start_xvnc(size: tuple[int, int]) -> tuple[subprocess.Popen[bytes], TextIO]:
    """The server, and a pipe on which it writes when it takes connections."""
    ready, tell = os.pipe()
    server = subprocess.Popen(
        [
            *("Xvnc", DISPLAY, "-displayfd", str(tell), "-nolisten", "tcp", "-s", "0", "-dpms"),
            *("-rfbport=-1", "-rfbunixpath", str(SOCKET), "-rfbunixmode=0600", "-desktop", os.environ["USER"]),
            *("-SecurityTypes=VncAuth", f"-PasswordFile={SHARED / 'vnc'}", "-UseBlacklist=0", "-AlwaysShared"),
            *("-AcceptSetDesktopSize", "-geometry", "{}x{}".format(*size), "-depth", "24", "-Log", "*:stderr:0"),
        ],
        pass_fds=[tell],
    )
    os.close(tell)
    return server, os.fdopen(ready)


def _start_bus() -> subprocess.Popen[bytes]:
    address = f"unix:path={os.environ['XDG_RUNTIME_DIR']}/bus"
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = address
    return subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}"])


def _keep_up(xvnc: subprocess.Popen[bytes], bus: subprocess.Popen[bytes]) -> int:
    """Until Xvnc ends: then so do we, and with us the sandbox."""
    _wait_for(Path(os.environ["XDG_RUNTIME_DIR"]) / "bus")
    keep_parts_up(lambda: xvnc.poll() is None and bus.poll() is None)
    _say("Xvnc ended" if xvnc.poll() is not None else "The session bus ended")
    return 1


def keep_parts_up(going: Callable[[], bool]) -> None:
    """Xfce's parts, each started again when it ends, for as long as it is `going`."""
    parts = {name: _start(command) for name, command in PARTS.items()}
    restarts = 0
    while going():
        for name, part in parts.items():
            if part.poll() is not None and restarts < RESTARTS:
                restarts += 1
                parts[name] = _start(PARTS[name])
        time.sleep(0.5)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """What it and its children print is not for our log: whoever works in the desktop may print without end."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 5
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.005)


def _password() -> str:
    return des.decrypt(des.FILE_KEY, (SHARED / "vnc").read_bytes()).rstrip(b"\0").decode()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Everything else in the sandbox is asked to end first, so that settings and histories are written."""
    until = time.monotonic() + FAREWELL
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
        while time.monotonic() < until:
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            os.kill(-1, 0)
            time.sleep(0.02)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
