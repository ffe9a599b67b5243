"""What a stand-in guest has for a disk: a provisioned chroot, or this machine's programs beside folders of its own."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ETC = (
    *("X11", "alternatives", "bash.bashrc", "dbus-1", "default", "fonts", "gtk-3.0", "ld.so.cache", "ld.so.conf"),
    *("ld.so.conf.d", "localtime", "login.defs", "mime.types", "nftables.conf", "os-release", "pam.d", "profile"),
    *("python3", "python3.11", "security", "ssl", "stunnel", "xdg"),
)
PASSWD = "root:x:0:0:root:/root:/bin/bash\nvisa:x:990:990::/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nvisa:x:990:\n"


@dataclass(frozen=True)
class Disk:
    path: Path
    options: tuple[str, ...] = ()
    """Of bubblewrap's: what is mounted over `path`."""


def chroot(path: Path) -> Disk:
    return Disk(path)


def this_machine(folder: Path) -> Disk:
    """Looks like the image: images/files and the session from this repository, all programs from this machine."""
    for name in ("etc", "home", "opt", "run", "tmp", "usr", "var/lib", "data", "desk", "root"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    for name in ETC:
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, folder / "etc" / name, symlinks=True, ignore_dangling_symlinks=True)
        elif source.exists():
            shutil.copy2(source, folder / "etc" / name)
    (folder / "etc/passwd").write_text(PASSWD)
    (folder / "etc/group").write_text(GROUP)
    (folder / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (folder / "tmp").chmod(0o1777)
    subprocess.run(["cp", "-R", *map(str, (ROOT / "images/files/opt").iterdir()), str(folder / "opt")], check=True)
    shutil.copytree(ROOT / "instances/providers/session", folder / "opt/visa/session")
    shutil.copytree(ROOT / "instances/providers/local/jupyter", folder / "etc/jupyter")
    (folder / "opt/jupyter").mkdir()
    jupyter = (ROOT / ".environments/jupyter").resolve()
    return Disk(folder, ("--ro-bind", "/usr", "/usr", "--ro-bind", str(jupyter), "/opt/jupyter"))
