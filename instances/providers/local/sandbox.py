"""What an instance sees: a machine of its own that holds the system's programs, one home and the granted folders.

Started by root, bubblewrap needs no user namespace: the processes run as the owner's real uid, gid and groups, and the
storage's own permissions hold. Started by anybody else, a user namespace shows the owner's uid inside while files are
written as the portal's.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from instances.errors import ProviderError
from instances.providers.base import Mount, Spec

from .places import Place

USERNAME = re.compile(r"[a-z_][a-z0-9._-]{0,31}")
OURS = {"bin", "boot", "desk", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "opt", "proc", "root", "run"}
OURS |= {"sbin", "srv", "sys", "tmp", "usr", "var"}
"""Where no granted folder may appear: it would stand in place of the system."""
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/run/user")  # noqa: S108 - the sandbox's own
JUPYTER = "/opt/jupyter"
HOST_ETC = (
    *("X11", "alternatives", "bash.bashrc", "bash_completion.d", "dbus-1", "debian_version", "fonts", "gtk-3.0"),
    *("inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "locale.alias", "magic", "mime.types"),
    *("nanorc", "os-release", "terminfo", "timezone", "vim", "xdg"),
)
"""Settings of programs, none of people, services or networks; Python's own are added by version."""


def as_root() -> bool:
    return os.geteuid() == 0


def arguments(place: Place, spec: Spec, home: Path, jupyter: Path | None, environment: dict[str, str]) -> list[str]:
    """Bubblewrap's options. Paths of the host appear only here, in a file that the sandbox cannot see."""
    half = str(spec.memory_mb << 19)
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]
    if as_root():
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
    else:
        options += ["--unshare-user", "--uid", str(spec.owner.uid), "--gid", str(spec.owner.gid)]
    options += ["--hostname", hostname(spec), "--clearenv"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    options += list(_system())
    mounts = checked(spec.mounts)
    for folder in [
        "/etc",
        "/home",
        "/opt",
        "/run",
        "/sys",
        "/sys/devices",
        "/sys/devices/system",
        "/var",
        "/var/cache",
    ]:
        options += ["--dir", folder]
    for folder in _above(mounts):  # else bubblewrap makes them as closed as the mounted folder is
        options += ["--dir", folder]
    for file in sorted(place.etc.iterdir()):
        options += ["--ro-bind", str(file), f"/etc/{file.name}"]
    for path in [*map(Path("/etc").joinpath, HOST_ETC), *sorted(Path("/etc").glob("python3*"))]:
        options += ["--ro-bind-try", str(path), str(path)]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for folder in SCRATCH:
        options += ["--perms", "1777", "--size", half, "--tmpfs", folder]
    options += ["--perms", "1777", "--dir", f"{SCRATCH[0]}/.X11-unix"]
    options += ["--ro-bind-try", "/var/cache/fontconfig", "/var/cache/fontconfig"]
    options += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    options += ["--ro-bind", str(place.shared), "/opt/visa", "--ro-bind", str(place.desk), "/desk"]
    options += ["--bind", str(place.run), "/run/visa", "--bind", str(home), f"/home/{spec.owner.username}"]
    if jupyter:
        options += ["--ro-bind", str(jupyter), JUPYTER]
    for mount in mounts:
        options += ["--bind" if mount.writable else "--ro-bind", mount.source, mount.target]
    return [*options, "--remount-ro", "/"]


def command(spec: Spec, words: list[str]) -> list[str]:
    """`words`, run as the owner, without any privilege to come by."""
    if not as_root():
        return words
    groups = sorted(set(spec.owner.groups) - {spec.owner.gid})
    identity = ["--reuid", str(spec.owner.uid), "--regid", str(spec.owner.gid)]
    identity += ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
    return ["/usr/bin/setpriv", *identity, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--", *words]


def hostname(spec: Spec) -> str:
    return f"visa-{spec.id[:8]}"


def checked(mounts: tuple[Mount, ...]) -> list[Mount]:
    """Outer folders before inner ones, each exactly the one that was granted; ProviderError names what is not.

    A source must be its own resolved path: a link anywhere in it could lead out of the data that was granted.
    """
    by_target: dict[str, Mount] = {}
    for mount in mounts:
        _check_target(mount.target)
        try:
            real = Path(mount.source).resolve(strict=True)
        except FileNotFoundError:
            raise ProviderError(f"The folder {mount.source} does not exist.", retry=False) from None
        except (OSError, RuntimeError) as error:
            raise ProviderError(f"The folder {mount.source} cannot be reached: {error}.", retry=True) from error
        if str(real) != mount.source:
            raise ProviderError(f"The folder {mount.source} is a link to {real}; links are not mounted.", retry=False)
        if not real.is_dir():
            raise ProviderError(f"{mount.source} is not a folder.", retry=False)
        known = by_target.setdefault(mount.target, mount)
        if known.source != mount.source:
            raise ProviderError(f"Two folders would appear as {mount.target}.", retry=False)
        if mount.writable:
            by_target[mount.target] = mount
    return [by_target[target] for target in sorted(by_target, key=lambda path: PurePosixPath(path).parts)]


def check_owner(spec: Spec) -> None:
    if not USERNAME.fullmatch(spec.owner.username):
        raise ProviderError(f"“{spec.owner.username}” cannot be a user name on this machine.", retry=False)
    if spec.owner.uid < 1000 or spec.owner.gid < 1000 or any(group < 1000 for group in spec.owner.groups):
        raise ProviderError("Instances never run with the identity of a system account.", retry=False)


def _check_target(target: str) -> None:
    parts = PurePosixPath(target).parts
    if len(parts) < 2 or parts[0] != "/" or ".." in parts or str(PurePosixPath(target)) != target or parts[1] in OURS:
        raise ProviderError(f"No folder can appear as {target} in an instance.", retry=False)


def _above(mounts: list[Mount]) -> list[str]:
    """The folders that lead to the mounted ones, outermost first, but none that lies in a mounted one."""
    targets = [PurePosixPath(mount.target) for mount in mounts]
    folders = {folder for target in targets for folder in target.parents if len(folder.parts) > 1}
    outside = (folder for folder in folders if not any(folder.is_relative_to(target) for target in targets))
    return sorted(map(str, outside))


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path), str(path))
