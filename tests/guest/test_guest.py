"""From the rendered user-data to a desktop and a JupyterLab that the broker opens, and nothing to steal.

On this machine's own programs; tests/images does the same on the image's.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from instances.providers.openstack import userdata
from instances.providers.openstack.site import Site, Storage
from instances.providers.secrets import derived

from . import checks
from .guest import Guest
from .roots import this_machine

ADDRESS = "127.66.250.1"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="visa-guest-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def guest(folder: Path) -> Iterator[Guest]:
    spec = checks.spec(folder / "storage")
    site = Site(storage=(Storage(PurePosixPath(folder / "storage"), "nfs", f"files.example.org:{folder}/storage"),))
    secrets = derived(checks.KEY, spec.id, spec.generation)
    told = userdata.render(spec, secrets, site, portal="http://127.0.0.1:9")
    guest = Guest(this_machine(folder / "disk"), told, ADDRESS)
    try:
        yield guest.first_boot()
    finally:
        guest.stop()


async def test_the_broker_sees_a_desktop_on_two_screens(guest: Guest) -> None:
    await checks.desktop(guest)


async def test_jupyter_runs_code_next_to_the_data_and_takes_its_token_alone(guest: Guest) -> None:
    await checks.jupyter(guest)


def test_the_person_is_who_they_should_be_and_sees_exactly_the_granted_data(guest: Guest) -> None:
    checks.person(guest)


def test_the_person_can_read_no_secret(guest: Guest) -> None:
    checks.secrets(guest)
