"""The image's recipe on a plain Debian: provisioned, given a server's user-data, and opened by the broker.

Run by `make test-images`, apart from the other tests: it installs some hundred packages.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from instances.models import Boot, Guest, Instance
from instances.providers.openstack import userdata
from instances.providers.openstack.site import Site, Storage
from instances.providers.secrets import derived
from instances.services import guests
from instances.states import State
from tests import facility as facilities
from tests.guest import checks
from tests.guest.guest import Guest as Machine
from tests.guest.roots import chroot
from tests.portal import until

from . import build

ADDRESS = "127.66.251.1"
pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="visa-image-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    return build.provision(folder)


@pytest.fixture(scope="module")
def machine(image: Path, folder: Path) -> Iterator[Machine]:
    spec = checks.spec(folder / "storage")
    site = Site(storage=(Storage(PurePosixPath(folder / "storage"), "nfs", f"files.example.org:{folder}/storage"),))
    secrets = derived(checks.KEY, spec.id, spec.generation)
    told = userdata.render(spec, secrets, site, portal="http://127.0.0.1:9")
    machine = Machine(chroot(image), told, ADDRESS)
    try:
        yield machine.first_boot()
    finally:
        machine.stop()


def test_provisioning_twice_does_no_harm(image: Path) -> None:
    before = (image / "usr/local/share/visa/packages.txt").read_text()
    build.run(image, "/root/bundle/images/provision", "/root/bundle")
    assert (image / "usr/local/share/visa/packages.txt").read_text() == before
    assert "silx==" in (image / "usr/local/share/visa/python.txt").read_text()


async def test_the_broker_sees_a_desktop_on_two_screens(machine: Machine) -> None:
    await checks.desktop(machine)


async def test_jupyter_runs_code_next_to_the_data_and_takes_its_token_alone(machine: Machine) -> None:
    await checks.jupyter(machine)


def test_the_person_is_who_they_should_be_and_sees_exactly_the_granted_data(machine: Machine) -> None:
    checks.person(machine)


def test_the_person_can_read_no_secret(machine: Machine) -> None:
    checks.secrets(machine)


def test_the_programs_of_the_field_start(machine: Machine) -> None:
    imported = "import h5py, hdf5plugin, silx, fabio, pyFAI, scipy, matplotlib, PyQt5.QtWidgets; print('imported')"
    assert "imported" in machine.run(["/opt/jupyter/bin/python", "-c", imported], user="alice", timeout=120)
    for program in ("/opt/jupyter/bin/silx", "/opt/jupyter/bin/pyFAI-calib2"):
        assert machine.path(program).exists(), program


@pytest.mark.django_db(transaction=True)
def test_it_phones_home_once_and_then_says_how_hard_it_works(machine: Machine, live_server: LiveServer) -> None:
    """The image's own report against the portal's own pages, with a server's token."""
    facility = facilities.build()
    instance: Instance = facilities.instance(facility, facility.ada, State.STARTING)
    guests.expect(instance)
    report_for(machine, instance, live_server.url)
    machine.path("/etc/visa/credential").unlink(missing_ok=True)
    machine.running.pop("visa-report.service").kill()
    machine.start(["visa-report.service"])
    until(lambda: Guest.objects.filter(cpu_seconds__gt=0).exists(), what="a report", seconds=240)
    assert Boot.objects.get().trouble == []
    assert guests.usage(instance.cloud)[instance.key].cpu_seconds
    kept = machine.path("/etc/visa/credential")
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.stat().st_uid == 0


def report_for(machine: Machine, instance: Instance, portal: str) -> None:
    """Its report's own settings, with the token and the certificate of an instance that the portal knows."""
    spec = replace(checks.SPEC, id=instance.key, generation=instance.generation)
    told = derived(settings.INSTANCE_KEY, instance.key, instance.generation)
    text = userdata.render(replace(spec, mounts=()), told, Site(), portal=portal)
    other = Machine(machine.disk, text, machine.address)
    for file in other.config["write_files"]:
        if file["path"] in ("/etc/visa/guest.json", "/etc/visa/certificate.pem"):
            other._write(file)
