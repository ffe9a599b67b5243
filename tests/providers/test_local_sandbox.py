"""What can be seen and done from inside a real desktop of the local provider, and what cannot."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from instances.errors import ProviderError
from instances.providers.base import Mount, Screen, Spec
from instances.providers.local import limits
from instances.providers.local.processes import last_run
from instances.providers.local.sandbox import as_root
from instances.states import Phase
from tests.providers.conftest import GROUP, UID, Machine
from tests.providers.rfb import Desktop

RAW = "/data/visitor/hc-4321/id11/20261120/RAW_DATA"
PROCESSED = "/data/visitor/hc-4321/id11/20261120/PROCESSED_DATA"
ON_DISK = "data/visitor/hc-4321/id11/20261120"


@dataclass
class Running:
    machine: Machine
    spec: Spec

    def says(self, command: str) -> str:
        done = self.machine.inside(self.spec, command)
        return (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def desktop(shared_machine: Machine) -> Iterator[Running]:
    """Alice's, on two screens, beside an instance and a home of Bob's."""
    shared_machine.mounts("mx-99")
    bob = shared_machine.spec(username="bob", uid=UID + 1, mounts=shared_machine.mounts("mx-99", UID + 1))
    shared_machine.run(bob)
    screens = (Screen(1280, 1024), Screen(1600, 900))
    yield Running(shared_machine, shared_machine.run(shared_machine.spec(screens=screens, keyboard="fr")))


def test_raw_data_cannot_be_written(desktop: Running) -> None:
    assert "Read-only file system" in desktop.says(f"echo proof > {RAW}/proof.txt")
    assert not (desktop.machine.folder / ON_DISK / "RAW_DATA/proof.txt").exists()


def test_processed_data_lands_on_disk_as_the_owners(desktop: Running) -> None:
    assert desktop.says(f"echo proof > {PROCESSED}/proof.txt") == ""
    written = desktop.machine.folder / ON_DISK / "PROCESSED_DATA/proof.txt"
    assert written.read_text() == "proof\n"
    assert written.stat().st_uid == (UID if as_root() else os.geteuid())


def test_it_runs_as_the_owner_with_the_granted_groups_and_no_privileges(desktop: Running) -> None:
    assert desktop.says("id -un; id -u") == f"alice\n{UID}"
    status = Path(f"/proc/{desktop.machine.session(desktop.spec)}/status").read_text()
    if as_root():
        assert f"Groups:\t{GROUP} " in status and f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
    assert "NoNewPrivs:\t1" in status
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{kind}:\t0000000000000000" in status


def test_other_people_and_other_experiments_are_not_there(desktop: Running) -> None:
    assert desktop.says("ls /home") == "alice"
    assert desktop.says("ls /data/visitor") == "hc-4321"
    assert desktop.says("ls /data/visitor/hc-4321/id11/20261120") == "PROCESSED_DATA\nRAW_DATA\nSCRIPTS"
    assert "bob" not in desktop.says("cat /etc/passwd; ps -ef")


def test_the_portal_and_the_host_are_not_there(desktop: Running) -> None:
    here = Path(__file__).parents[2]
    for path in (here, desktop.machine.folder, Path("/root"), Path("/etc/shadow"), Path("/var/lib/dpkg"), Path("/srv")):
        assert "No such file" in desktop.says(f"ls {path}"), path
    everything = desktop.says("cat /proc/*/cmdline /proc/*/environ | tr '\\0' '\\n'; mount")
    assert str(desktop.machine.folder) not in everything
    assert "VISA_" not in everything and "DATABASE_URL" not in everything
    assert desktop.says("hostname") == f"visa-{desktop.spec.id[:8]}"


def test_what_the_portal_keeps_of_an_instance_is_out_of_its_reach(desktop: Running) -> None:
    found = desktop.says("ls /run/visa; touch /opt/visa/x /desk/x /etc/x /x")
    assert found.startswith("desktop.sock") and found.count("Read-only file system") == 4


def test_processes_of_the_host_and_of_others_cannot_be_seen(desktop: Running) -> None:
    users = desktop.says("ps -eo user= | sort -u").split()
    assert set(users) <= {"alice", "root"}
    assert "pytest" not in desktop.says("ps -eo args")


def test_there_is_no_network_but_its_own_loopback(desktop: Running) -> None:
    assert desktop.says("ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1").split() == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "refused" in desktop.says(f"timeout 3 bash -c 'echo > /dev/tcp/127.0.0.1/{port}'")


def test_no_tcp_port_of_the_host_is_opened(machine: Machine) -> None:
    machine.run(machine.spec())
    machine.run(machine.spec("jupyter"))
    if as_root():
        assert UID not in _listeners()
    for spec in [found.id for found in machine.provider.observe_all()]:
        run = last_run(machine.place(spec))
        assert run and run.inner
        assert Path(f"/proc/{run.inner.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def test_the_sockets_are_the_owners_alone(desktop: Running) -> None:
    offered = desktop.machine.place(desktop.spec.id).run / "desktop.sock"
    assert offered.stat().st_mode & 0o777 == 0o600
    assert offered.parent.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_the_socket_leads_the_broker_nowhere(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    real = machine.provider.endpoint(spec.id, "desktop")
    with socket.socket(socket.AF_UNIX) as victim:
        path = machine.folder / "victim.sock"
        victim.bind(str(path))
        victim.listen()
        assert machine.inside(spec, f"rm /run/visa/desktop.sock && ln -s {path} /run/visa/desktop.sock").returncode == 0
        with pytest.raises(ProviderError):
            machine.provider.endpoint(spec.id, "desktop")
        assert machine.provider.observe(spec.id).phase is Phase.STARTING
    assert Path(real.path).lstat().st_uid == (UID if as_root() else os.geteuid())


def test_the_wrong_password_does_not_open_the_desktop(desktop: Running) -> None:
    endpoint = desktop.machine.provider.endpoint(desktop.spec.id, "desktop")
    with pytest.raises(PermissionError):
        Desktop(replace(endpoint, secret="wrong"))
    with Desktop(endpoint) as opened:
        assert opened.name == "alice"


def test_two_screens_are_two_monitors_from_the_start(desktop: Running) -> None:
    with Desktop(desktop.machine.provider.endpoint(desktop.spec.id, "desktop")) as seen:
        assert seen.screens == [(0, 0, 1280, 1024), (1280, 0, 1600, 900)]
    monitors = desktop.says("xrandr --listactivemonitors")
    assert "VNC-0" in monitors and "VNC-1" in monitors and monitors.startswith("Monitors: 2")


def test_the_keyboard_layout_is_the_chosen_one(desktop: Running) -> None:
    assert "layout:     fr" in desktop.says("setxkbmap -query")


def test_the_panel_is_painted_on_the_first_screen_and_the_wallpaper_on_both(desktop: Running) -> None:
    with Desktop(desktop.machine.provider.endpoint(desktop.spec.id, "desktop")) as seen:
        picture = _painted(seen)
    assert picture.getpixel((640, 1020)) == (16, 22, 31), "the panel at the lower edge of the first screen"
    assert picture.getpixel((1280 + 800, 890)) != (16, 22, 31)
    for x in (640, 1280 + 1100):
        assert max(picture.getpixel((x, 500))) > 20, "the wallpaper"  # type: ignore[type-var]


def test_the_data_folders_are_on_the_desktop(desktop: Running) -> None:
    shown = desktop.says("ls /desk; xdg-user-dir DESKTOP 2>/dev/null || grep DESKTOP ~/.config/user-dirs.dirs")
    for name in ("HC-4321 raw (read only)", "HC-4321 processed", "HC-4321 scripts", "/desk"):
        assert name in shown


def test_what_a_person_types_into_the_terminal_reaches_the_disk(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    with Desktop(machine.provider.endpoint(spec.id, "desktop")) as seen:
        _painted(seen)
        machine.inside(spec, "xfce4-terminal >/dev/null 2>&1 & sleep 2")
        seen.click(960, 540)
        seen.type(*f"echo typed > {PROCESSED}/typed.txt\n")
    typed = machine.folder / ON_DISK / "PROCESSED_DATA/typed.txt"
    _until(lambda: typed.exists() and typed.read_text() == "typed\n")


def test_the_home_outlives_the_instance_and_is_shared_by_all_of_a_person(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    machine.inside(spec, "echo kept > ~/note")
    machine.provider.delete(spec.id)
    assert machine.inside(machine.run(machine.spec()), "cat ~/note").stdout == "kept\n"
    home = machine.provider.folder / "homes/alice"
    assert home.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_home_is_not_taken_over(machine: Machine) -> None:
    if not as_root():
        return  # without root all homes belong to the portal's account
    machine.run(machine.spec())
    with pytest.raises(ProviderError, match="another account"):
        machine.ensure(machine.spec(uid=UID + 7))


@pytest.mark.parametrize("name", ["../eve", "Eve", "", "a/b", "eve:x"])
def test_a_user_name_that_could_be_a_path_is_refused(machine: Machine, name: str) -> None:
    with pytest.raises(ProviderError, match="user name"):
        machine.ensure(machine.spec(username=name))


def test_a_system_account_never_owns_an_instance(machine: Machine) -> None:
    with pytest.raises(ProviderError, match="system account"):
        machine.ensure(machine.spec(uid=0))


def test_a_missing_folder_is_named_and_nothing_starts(machine: Machine) -> None:
    gone = Mount(str(machine.folder / "data/gone"), "/data/gone", writable=False)
    with pytest.raises(ProviderError, match="data/gone") as refused:
        machine.ensure(machine.spec(mounts=(gone,)))
    assert not refused.value.retry


def test_a_link_is_not_mounted(machine: Machine) -> None:
    (machine.folder / "data").mkdir(exist_ok=True)
    (machine.folder / "data/trick").symlink_to("/etc")
    with pytest.raises(ProviderError, match="link"):
        machine.ensure(machine.spec(mounts=(Mount(str(machine.folder / "data/trick"), "/data/trick", True),)))


@pytest.mark.parametrize("target", ["/etc", "/usr/x", "/", "data", "/data/../etc", "/home/bob", "/run/visa", "/desk"])
def test_no_folder_is_mounted_over_the_system(machine: Machine, target: str) -> None:
    source = machine.mounts("hc-4321")[0].source
    with pytest.raises(ProviderError, match="can appear"):
        machine.ensure(machine.spec(mounts=(Mount(source, target, True),)))


def test_memory_is_limited(machine: Machine) -> None:
    assert "memory" in limits.hierarchies(), limits.unenforced()
    spec = machine.run(machine.spec(memory_mb=512))
    eaten = machine.inside(spec, "python3 -c 'x = bytearray(700 << 20)'")
    if eaten.returncode == 0:  # nsenter stays in our own group: enter the instance's, as its processes are
        [group] = [f for f in limits.prepare(machine.place(spec.id), memory_mb=512, cores=2) if "memory" in str(f)]
        eat = f"echo $$ > {group}; exec python3 -c 'x = bytearray(700 << 20)'"
        assert subprocess.run(["bash", "-c", eat]).returncode == -9
    session = Path(f"/proc/{machine.session(spec)}/cgroup").read_text()
    assert f"memory:/visa-portal/{spec.id}" in session or f"0::/visa-portal/{spec.id}" in session


def test_a_deleted_instance_leaves_no_control_group(machine: Machine) -> None:
    spec = machine.run(machine.spec())
    folders = [base / spec.id for base in limits.hierarchies().values()]
    assert folders and all(folder.exists() for folder in folders)
    machine.provider.delete(spec.id)
    assert not any(folder.exists() for folder in folders)


def _painted(seen: Desktop) -> Image.Image:
    """The desktop's picture, once its panel and wallpaper are there."""
    _until(lambda: seen.picture().getpixel((640, seen.screens[0][3] - 4)) == (16, 22, 31))
    _until(lambda: max(seen.picture().getpixel((640, 500))) > 20)  # type: ignore[type-var]
    return seen.picture()


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def _listeners() -> set[int]:
    """The users who have TCP sockets that listen on the host."""
    lines = [line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()]
    return {int(fields[7]) for fields in lines if fields[3] == "0A"}
