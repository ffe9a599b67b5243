"""axe finds nothing, in light and in dark, on any page."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page

from instances.models import FlavourOffer, Instance, InstanceEvent
from instances.states import State
from tests.facility import Facility, instance

from .conftest import Browse

pytestmark = pytest.mark.django_db(transaction=True)
AXE = (Path(settings.NODE) / "axe-core/axe.min.js").read_text()


@pytest.fixture
def made(facility: Facility) -> dict[State, Instance]:
    FlavourOffer.objects.filter(flavour=facility.big).delete()
    grants = [
        {
            "path": f"visitor/hc-1/id11/20261120/{folder}",
            "target": f"/data/visitor/hc-1/id11/20261120/{folder}",
            "mode": mode,
            "because": "you are principal investigator of HC-1",
            "until": None,
            "proposal": "HC-1",
        }
        for folder, mode in [("RAW_DATA", "read"), ("PROCESSED_DATA", "read-write")]
    ]
    found = {
        state: instance(facility, facility.ada, state, name=f"Analysis {state}", message="A sentence.", grants=grants)
        for state in (State.READY, State.STARTING, State.STOPPED, State.FAILED, State.UNKNOWN, State.DELETING)
    }
    ends = timezone.now() + timedelta(hours=20)
    warned = {"of": ends.isoformat(), "at": timezone.now().isoformat(), "last": True, "end": ends.isoformat()}
    Instance.objects.filter(state=State.READY).update(expires=ends, warnings={"lifetime": warned})
    for step in ("queued", "placing", "creating"):
        InstanceEvent.objects.create(instance=found[State.STARTING], generation=1, step=step, message="On its way")
        InstanceEvent.objects.create(instance=found[State.FAILED], generation=1, step=step, message="On its way")
    return found


def troubles(page: Page) -> list[Any]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(v["id"], [node["target"] + [node["failureSummary"]] for node in v["nodes"]]) for v in found["violations"]]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(dark: bool, made: dict[State, Instance], facility: Facility, browse: Browse) -> None:
    ready, starting, failed = made[State.READY], made[State.STARTING], made[State.FAILED]
    addresses = ["/", f"/new/?experiment={facility.running.pk}", "/experiments/"]
    addresses += [f"/experiments/{facility.running.pk}/", f"/instances/{ready.pk}/", "/no-such-page/"]
    addresses += [f"/instances/{starting.pk}/progress/", f"/instances/{failed.pk}/progress/"]
    addresses += [f"/instances/{ready.pk}/desktop/", f"/instances/{ready.pk}/why/", f"/instances/{ready.pk}/history/"]
    addresses += [f"/experiments/{facility.running.pk}/why/", f"/instances/{ready.pk}/time/"]
    found = {}
    page = browse(facility.ada, dark=dark)
    for address in addresses:
        page.goto(address)
        found[address] = troubles(page)
    page.goto("/")
    page.get_by_label("More for Analysis ready").click()
    found["menu"] = troubles(page)
    page.get_by_role("link", name="Delete…").locator("visible=true").click()
    found["dialog"] = troubles(page)
    for person, address in [
        (facility.eve, "/"),
        (facility.ivy, "/all/"),
        (facility.ivy, f"/experiments/{facility.running.pk}/why/?person=nobody"),
        (facility.sci, f"/instances/{ready.pk}/"),
    ]:
        page = browse(person, dark=dark)
        page.goto(address)
        found[f"{person} {address}"] = troubles(page)
    assert {address: trouble for address, trouble in found.items() if trouble} == {}


@pytest.mark.parametrize(
    "address", ["/", "/new/", "/experiments/", "/instances/{}/", "/instances/{}/progress/", "/instances/{}/why/"]
)
def test_nothing_is_wider_than_a_phone(
    address: str, made: dict[State, Instance], facility: Facility, browse: Browse
) -> None:
    page = browse(facility.ada, width=375, height=740)
    page.goto(address.format(made[State.STARTING].pk))
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_no_page_breaks_its_own_content_security_policy(
    made: dict[State, Instance], facility: Facility, browse: Browse
) -> None:
    page = browse(facility.ada)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for address in ["/", "/new/", "/experiments/", f"/instances/{made[State.READY].pk}/"]:
        page.goto(address)
    assert [text for text in said if "/events" not in text] == []


@pytest.mark.parametrize("address", ["/", "/new/", "/experiments/"])
def test_a_page_weighs_less_than_200_kilobytes(
    address: str, made: dict[State, Instance], facility: Facility, browse: Browse
) -> None:
    page = browse(facility.ada)
    page.goto(address, wait_until="load")
    page.wait_for_timeout(300)
    entries = page.evaluate(
        "performance.getEntries().filter((e) => e.transferSize).map((e) => [e.name, e.transferSize])"
    )
    files = sum(_compressed(name, size) for name, size in entries)
    assert files < 200_000, entries


def _compressed(address: str, size: int) -> int:
    """What whitenoise sends: Django's test server knows no compression."""
    packed = Path(settings.STATIC_ROOT) / (address.partition("/static/")[2] + ".gz")
    return min(size, packed.stat().st_size) if packed.is_file() else int(size)
