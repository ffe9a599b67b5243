"""One portal for all tests of this folder, and one browser; each test signs in anew."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.portal import Portal, until

from . import steps


def open_up(folder: Path) -> Path:
    """As root, PostgreSQL and the instances run as users of their own: they must get through to their folders."""
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    portal = Portal(open_up(tmp_path_factory.mktemp("portal")))
    try:
        yield portal.start()
    finally:
        portal.stop(signal.SIGINT)


@pytest.fixture
def sign_in(portal: Portal, chromium: Browser) -> Iterator[Callable[[str], Page]]:
    """`sign_in("login")` gives a page of a fresh browser in which that person has signed in."""
    pages: list[Page] = []

    def go(person: str) -> Page:
        pages.append(steps.sign_in(chromium, portal, person))
        return pages[-1]

    yield go
    for page in pages:
        page.context.close()


@pytest.fixture
def clean(portal: Portal) -> Iterator[None]:
    """Leaves no instance behind a test: a stopped one, too, would count against the quota of its owner."""
    yield
    until(portal.answers, what="the portal to answer again after the test")
    for person in steps.LAUNCHING:
        with portal.api(person) as api:
            for instance in left(api):
                api.delete(f"/instances/{instance}/").raise_for_status()
            until(lambda api=api: not left(api), what=f"the instances of {person} to be deleted")  # type: ignore[misc]


def left(api: httpx2.Client) -> list[str]:
    return [each["id"] for each in api.get("/instances/").raise_for_status().json()["results"]]
