"""One portal for all tests of this folder, and one browser; each test gets a context of its own."""

import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.portal import Portal

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
ARGUMENTS += ["--no-first-run", "--disable-component-update", "--no-proxy-server"]


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    data = tmp_path_factory.mktemp("portal")
    for folder in (data, *data.parents[:2]):
        folder.chmod(0o755)  # as root, PostgreSQL and the instances run as users of their own
    portal = Portal(data).start()
    yield portal
    portal.stop(signal.SIGINT)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


SignIn = Callable[[str], Page]


@pytest.fixture
def sign_in(portal: Portal, browser: Browser) -> Iterator[SignIn]:
    """`sign_in("Name")` gives a page of a fresh browser in which that person has signed in."""
    contexts: list[BrowserContext] = []

    def go(name: str, width: int = 1600, height: int = 900) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(portal.url)
        page.get_by_role("link", name="Sign in with").first.click()
        page.get_by_role("button", name=name).click()
        page.wait_for_url(f"{portal.url}/**")
        return page

    yield go
    for context in contexts:
        context.close()
