"""The images of this machine: what each needs installed, and the command and environment that it starts with."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from instances.providers.base import Spec

DESKTOP_PROGRAMS = (
    *("Xvnc", "dbus-daemon", "python3", "setxkbmap", "thunar", "xfce4-panel", "xfce4-terminal"),
    *("xfdesktop", "xfsettingsd", "xfwm4", "xrandr"),
)


@dataclass(frozen=True, slots=True)
class Image:
    title: str
    apps: tuple[str, ...]
    command: tuple[str, ...]
    working_folder: str
    """Empty: the home."""


IMAGES = {
    "desktop": Image(
        title="the desktop",
        apps=("desktop",),
        command=("/usr/bin/python3", "-E", "-s", "-m", "session.desktop"),
        working_folder="/opt/visa",
    ),
    "jupyter": Image(
        title="JupyterLab",
        apps=("jupyter",),
        command=(
            "/bin/sh",
            "-c",
            'mkdir -pm 700 "$XDG_RUNTIME_DIR" && exec /opt/jupyter/bin/python -m jupyterlab --no-browser',
        ),
        working_folder="",
    ),
}


def missing(jupyter: Path) -> dict[str, str]:
    """For each image that cannot be started now, the sentence that says what it lacks."""
    absent = [program for program in DESKTOP_PROGRAMS if not shutil.which(program)]
    lacks = {}
    if absent:
        lacks["desktop"] = f"The desktop needs programs that are not installed: {', '.join(absent)}."
    if not (jupyter / "bin/python").exists() or not (jupyter / "share/jupyter/lab/static").is_dir():
        lacks["jupyter"] = f"JupyterLab is not installed in {jupyter}."
    return lacks


def environment(spec: Spec, *, with_python: bool) -> dict[str, str]:
    """All that processes inside are told; nothing of the portal's own environment."""
    home = f"/home/{spec.owner.username}"
    path = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/games", "/usr/games"]
    return {
        "HOME": home,
        "USER": spec.owner.username,
        "LOGNAME": spec.owner.username,
        "SHELL": "/bin/bash",
        "PATH": ":".join((["/opt/visa/bin", "/opt/jupyter/bin"] if with_python else []) + path),
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": f"/run/user/{spec.owner.uid}",
        "JUPYTER_RUNTIME_DIR": f"/run/user/{spec.owner.uid}/jupyter",
        "XDG_CONFIG_DIRS": "/opt/visa/session/xdg:/etc/xdg",
        "XDG_DATA_DIRS": "/usr/local/share:/usr/share",
        "NO_AT_BRIDGE": "1",
        "GTK_A11Y": "none",
        "OPENBLAS_NUM_THREADS": str(max(1, int(spec.cores))),
        "OMP_NUM_THREADS": str(max(1, int(spec.cores))),
    }
