"""From the launch button to a desktop in Chromium, on real keystone, nova, neutron, glance and placement.

Only the machine is a stand-in: it runs the units of the user-data that nova was given, on the address that neutron gave
it, and phones home to the portal as a machine would.
"""

import json
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end import steps
from tests.end_to_end.conftest import open_up
from tests.portal import Portal, until

from .machines import Machines
from .testbed.testbed import Testbed

pytestmark = pytest.mark.timeout(1800)
PATIENCE = 300.0
"""Seconds; a worker looks at a machine that is on its way once a minute at least."""
SETUP = """
import json
from instances.models import Cloud, Flavour, FlavourOffer
Cloud.objects.filter(kind="local").update(enabled=False)
cloud = Cloud.objects.create(name="testbed", title="The testbed", kind="openstack", settings=json.loads({settings!r}))
for flavour in Flavour.objects.all():
    FlavourOffer.objects.create(cloud=cloud, flavour=flavour, name="small")
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, because sockets' addresses are."""
    folder = Path(tempfile.mkdtemp(prefix="visa-openstack-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def portal(testbed: Testbed, folder: Path) -> Iterator[Portal]:
    """The demo facility, with the testbed as its only cloud."""
    (folder / "portal").mkdir()
    portal = Portal(open_up(folder / "portal"))
    try:
        portal.start()
        data = portal.data / "facility"
        (folder / "site.json").write_text(
            json.dumps({"storage": [{"path": str(data), "kind": "nfs", "source": f"files.example.org:{data}"}]})
        )
        settings = {
            "clouds_file": str(testbed.clouds_file),
            "cloud": "testbed",
            "placement_cloud": "testbed-admin",
            "networks": ["visa"],
            "site": str(folder / "site.json"),
            "list_seconds": 1,
        }
        portal.manage("shell", "--command", SETUP.format(settings=json.dumps(settings)))
        yield portal
    finally:
        portal.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def machines(testbed: Testbed, portal: Portal, folder: Path) -> Iterator[Machines]:
    deployment = (portal.data / "deployment").read_text()[:12].lower()
    with Machines(testbed.guests, deployment, folder) as playing:
        yield playing


@pytest.fixture
def sign_in(portal: Portal, chromium: Browser) -> Iterator[Callable[[str], Page]]:
    pages: list[Page] = []

    def go(person: str) -> Page:
        pages.append(steps.sign_in(chromium, portal, person))
        return pages[-1]

    yield go
    for page in pages:
        page.context.close()


def launched(page: Page, portal: Portal, environment: str, **chosen: int) -> str:
    """On its own page, ready."""
    until(lambda: offered(page, portal), what="the cloud's capacity to be known", seconds=60)
    steps.choose(page, portal, environment, **chosen)
    return steps.launch(page)


def offered(page: Page, portal: Portal) -> bool:
    page.goto(f"{portal.url}/new/")
    return page.locator("#flavour-local\\.half").is_enabled()


@dataclass
class Person:
    """Asks and acts through the API, with one token."""

    api: httpx2.Client

    def state(self, instance: str) -> str:
        answer = self.api.get(f"/instances/{instance}/")
        return answer.json()["state"] if answer.status_code == 200 else "deleted"

    def sees(self, instance: str, wanted: str) -> None:
        until(lambda: self.state(instance) == wanted, what=f"{instance} to be {wanted}", seconds=PATIENCE)

    def asks(self, instance: str, action: str, *, becomes: str) -> None:
        path = f"/instances/{instance}/"
        answer = self.api.delete(path) if action == "delete" else self.api.post(f"{path}{action}/")
        assert answer.status_code == 202, answer.text
        self.sees(instance, becomes)


@pytest.fixture(scope="module")
def bruno(portal: Portal) -> Iterator[Person]:
    with portal.api("bruno") as api:
        yield Person(api)


def test_a_desktop_from_launch_to_deletion(
    portal: Portal, machines: Machines, testbed: Testbed, bruno: Person, sign_in: Callable[[str], Page]
) -> None:
    page = sign_in("bruno")
    page.set_default_timeout(PATIENCE * 1000)
    instance = launched(page, portal, "Desktop", screens=2)
    steps.desktop_is_there(page, screens=2)
    assert machines.trouble == []

    (server,) = machines.first_boots
    guest = machines.guests[server]
    nova = testbed.admin.compute.get_server(server)
    assert nova.status == "ACTIVE" and nova.metadata["owner"] == "bruno"
    assert reported(portal, instance) == "reported []"
    processed = next(t for _, t, *_ in guest.config["mounts"] if t.endswith("PROCESSED_DATA"))
    source = next(Path("/" + s.partition(":/")[2]) for s, t, *_ in guest.config["mounts"] if t == processed)
    steps.type_into_terminal(page, f"id -un > {processed}/who.txt")
    until((source / "who.txt").exists, what="the terminal's command")
    assert (source / "who.txt").read_text() == "bruno\n"

    bruno.asks(instance, "stop", becomes="stopped")
    assert testbed.admin.compute.get_server(server).status == "SHUTOFF"
    bruno.asks(instance, "start", becomes="ready")
    assert machines.first_boots == [server], "the same disk goes on"
    connects(page, portal, instance, screens=2)

    shelved(portal, testbed, bruno, server, instance)
    connects(page, portal, instance, screens=2)

    resized(portal, testbed, bruno, server, instance)
    connects(page, portal, instance, screens=2)

    bruno.asks(instance, "delete", becomes="deleted")
    assert testbed.admin.compute.find_server(server) is None
    assert machines.trouble == []


def test_jupyterlab_with_the_experiment_s_data(
    portal: Portal, machines: Machines, bruno: Person, sign_in: Callable[[str], Page]
) -> None:
    page = sign_in("bruno")
    page.set_default_timeout(PATIENCE * 1000)
    instance = launched(page, portal, "JupyterLab")
    bruno.sees(instance, "ready")
    page.goto(f"{portal.url}/instances/{instance}/")
    with steps.jupyter(page) as lab:
        until(lambda: lists_raw_data(lab), what="the raw data in JupyterLab's files", seconds=60)
    bruno.asks(instance, "delete", becomes="deleted")
    assert machines.trouble == []


def lists_raw_data(lab: Page) -> bool:
    """Asked again: while it starts, JupyterLab goes home by itself once more."""
    lab.locator(".jp-BreadCrumbs-home").click()
    lab.wait_for_timeout(500)
    return lab.locator(".jp-DirListing-item", has_text=re.compile("raw", re.I)).first.is_visible()


def connects(page: Page, portal: Portal, instance: str, screens: int) -> None:
    page.goto(f"{portal.url}/instances/{instance}/desktop/")
    steps.desktop_is_there(page, screens=screens)


def shelved(portal: Portal, testbed: Testbed, bruno: Person, server: str, instance: str) -> None:
    """The cheap stop: the cloud gets its cores back, and the disk comes back with the start."""
    change(portal, "cloud.settings['stop'] = 'shelve'")
    bruno.asks(instance, "stop", becomes="stopped")
    assert testbed.admin.compute.get_server(server).status in ("SHELVED", "SHELVED_OFFLOADED")
    bruno.asks(instance, "start", becomes="ready")
    assert testbed.admin.compute.get_server(server).status == "ACTIVE"


def resized(portal: Portal, testbed: Testbed, bruno: Person, server: str, instance: str) -> None:
    """The flavour has another name in the cloud from now on: the next start gives it that one."""
    change(portal, "cloud.offers.update(name='large')")
    bruno.asks(instance, "stop", becomes="stopped")
    bruno.asks(instance, "start", becomes="ready")
    found = testbed.admin.compute.get_server(server)
    assert (found.status, found.flavor.vcpus) == ("ACTIVE", 4)


def change(portal: Portal, what: str) -> None:
    code = f"from instances.models import Cloud; cloud = Cloud.objects.get(kind='openstack'); {what}; cloud.save()"
    portal.manage("shell", "--command", code)


def reported(portal: Portal, instance: str) -> str:
    """What the machine said of its first boot, waited for."""
    code = f"from instances.models import Boot; boot = Boot.objects.get(instance='{instance}'); "
    code += "print('reported' if boot.reported else 'silent', boot.trouble)"
    said: list[str] = []
    until(lambda: said.append(portal.manage("shell", "--command", code)) or "reported" in said[-1], what="a report")
    return said[-1].splitlines()[-1]
