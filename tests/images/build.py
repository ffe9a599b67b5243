"""The image's provisioning on a plain Debian in a folder. Downloads are kept; what was made of them never is."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visa-image"
SUITE = "bookworm"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
KEEP = """DPkg::Pre-Invoke {"cp -n /var/cache/apt/archives/*.deb /debs/ || true";};
APT::Install-Recommends "false";
"""


def provision(folder: Path) -> Path:
    """A chroot in which images/provision has run. AssertionError where that cannot be: it is never left out."""
    assert os.geteuid() == 0, "provisioning an image needs root"
    assert shutil.which("debootstrap"), "debootstrap is missing: scripts/install test installs it"
    root = folder / "image"
    root.mkdir()
    subprocess.run(["tar", "-x", "-f", base(folder), "-C", root], check=True)
    _as_this_machine(root)
    bundle = root / "root/bundle"
    bundle.mkdir()
    packed = subprocess.run([ROOT / "images/bundle"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", bundle], input=packed, check=True)
    run(root, "/root/bundle/images/provision", "/root/bundle")
    return root


def run(root: Path, *command: str) -> str:
    """In the chroot as root, with this machine's way to Debian and PyPI. CalledProcessError tells what it said."""
    for name in ("debs", "pip"):
        (CACHE / name).mkdir(parents=True, exist_ok=True)
    (root / "debs").mkdir(exist_ok=True)
    (root / "root/.cache/pip").mkdir(parents=True, exist_ok=True)
    archives = root / "var/cache/apt/archives"
    for package in (CACHE / "debs").glob("*.deb"):
        if not (archives / package.name).exists():
            shutil.copy(package, archives)
    options = ["--bind", root, "/", "--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
    options += ["--bind", CACHE / "debs", "/debs", "--bind", CACHE / "pip", "/root/.cache/pip"]
    options += ["--ro-bind", AUTHORITIES, "/authorities.pem", "--cap-add", "ALL"]
    options += ["--unshare-pid", "--die-with-parent", "--clearenv"]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PIP_CERT": "/authorities.pem",
    }
    for name, value in environment.items():
        options += ["--setenv", name, value]
    done = subprocess.run(
        ["bwrap", *map(str, options), "--", *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}"
    return done.stdout


def base(folder: Path) -> Path:
    """Debian's smallest, made once by debootstrap."""
    kept = CACHE / f"{SUITE}.tar"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        made = folder / "base"
        subprocess.run(["debootstrap", "--variant=minbase", SUITE, made, mirror()], check=True, capture_output=True)
        subprocess.run(["tar", "-c", "-f", f"{kept}.new", "-C", made, "."], check=True)
        shutil.rmtree(made)
        Path(f"{kept}.new").rename(kept)
    return kept


def mirror() -> str:
    """Where this machine has its Debian from."""
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [line.split()[0] for line in said.splitlines() if line.split()[1:] == [SUITE]]
    return found[0] if found else "http://deb.debian.org/debian"


def _as_this_machine(root: Path) -> None:
    """Its way to Debian's packages: mirrors, and no services in a chroot."""
    mine = mirror().rstrip("/")
    security = f"{mine}-security"
    (root / "etc/apt/sources.list").write_text(
        f"deb {mine} {SUITE} main\ndeb {mine} {SUITE}-updates main\ndeb {security} {SUITE}-security main\n"
    )
    for file in Path("/etc/apt/apt.conf.d").glob("*proxy*"):
        shutil.copy(file, root / "etc/apt/apt.conf.d")
    (root / "etc/apt/apt.conf.d/99-test").write_text(KEEP)
    (root / "etc/dpkg/dpkg.cfg.d/test").write_text("force-unsafe-io\n")
    (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
