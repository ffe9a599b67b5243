"""A real browser at a real portal and a certified provider: signing in, saying no, leaving, confirming, linking."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from auth.models import AuditEvent, Login, User
from auth.oidc.demo_provider.people import Person
from tests.pages.test_accessibility import troubles

from .conftest import Wire
from .independent import MFA, Independent, Visitor
from .test_step_up import DONE

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture
def browse(live_server: Any, chromium: Chromium) -> Iterator[Open]:
    """A page of a browser of its own; `dark` and `width` as the person has them."""
    contexts = []

    def go(*, dark: bool = False, width: int = 1280) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context.new_page()

    yield go
    for context in contexts:
        context.close()


@pytest.fixture
def consent(independent: Independent) -> Iterator[None]:
    independent.ask_consent(True)
    yield
    independent.ask_consent(False)


def log_in(page: Page, name: str, *, factor: bool = False) -> None:
    """On the independent provider's page."""
    page.get_by_label(name).check()
    if factor:
        page.get_by_label("Second factor").check()
    page.get_by_role("button", name="Log in").click()


def sign_in(page: Page, name: str = "Alice Moreau", address: str = "/account/") -> None:
    page.goto(address)
    page.get_by_role("link", name="Sign in with MyAccessID").click()
    log_in(page, name)


def path(page: Page) -> str:
    return re.sub(r"^https?://[^/]+", "", page.url)


def test_somebody_signs_in_and_lands_where_they_wanted_to_go(visitor: Visitor, browse: Open) -> None:
    page = browse()
    sign_in(page, address="/experiments/?search=silicon")
    expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
    assert path(page) == "/experiments/?search=silicon"
    page.get_by_text("Alice Moreau").first.click()
    page.get_by_role("link", name="Your account").click()
    expect(page.get_by_role("heading", name="You", exact=True)).to_be_visible()
    expect(page.get_by_text("Chrome on Linux")).to_be_visible()
    page.get_by_text("Show the whole identifier").locator("xpath=..").click()
    expect(page.locator(".identity-full")).to_have_text("a1f0@myaccessid.org")


def test_consent_is_given_on_the_way(visitor: Visitor, browse: Open, consent: None) -> None:
    page = browse()
    sign_in(page)
    expect(page.get_by_role("heading", name="Share this?")).to_be_visible()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="You", exact=True)).to_be_visible()


def test_consent_that_is_denied_is_explained_and_can_be_tried_again(
    visitor: Visitor, browse: Open, consent: None
) -> None:
    page = browse()
    sign_in(page)
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="You were not signed in")).to_be_visible()
    assert not User.objects.exists()
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("link", name="Sign in with MyAccessID")).to_be_visible()


def test_leaving_ends_the_login_at_the_provider_and_comes_back(visitor: Visitor, browse: Open) -> None:
    page = browse()
    sign_in(page)
    page.locator("summary.person").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name=re.compile("yes|sign me out", re.I)).first.click()
    expect(page.get_by_role("link", name="Sign in with MyAccessID")).to_be_visible()
    assert path(page).startswith("/sign-in/")
    assert not Login.objects.exists()
    page.get_by_role("link", name="Sign in with MyAccessID").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_second_factor_is_asked_for_when_it_is_needed(visitor: Visitor, browse: Open, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.oidc.test_step_up"
    page = browse()
    sign_in(page)
    key = Login.objects.get().session_id
    page.goto("/guarded/")
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    assert troubles(page) == []
    page.get_by_role("link", name="Log in with MyAccessID").click()
    log_in(page, "Alice Moreau")
    expect(page.get_by_role("heading", name="A second factor is needed for this")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Log in with MyAccessID").click()
    log_in(page, "Alice Moreau", factor=True)
    expect(page.get_by_text(DONE)).to_be_visible()
    assert Login.objects.get().session_id == key
    assert AuditEvent.objects.get(action="session.confirm").detail["acr"] == MFA


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_second_identity_is_linked_and_unlinked(
    dark: bool, double: Visitor, people: dict[str, Person], wire: Wire, browse: Open
) -> None:
    page = browse(dark=dark)
    page.goto("/account/")
    page.get_by_role("link", name="Sign in with MyAccessID").click()
    page.get_by_role("button", name=re.compile("Inês Carvalho")).click()
    expect(page.get_by_role("heading", name="You", exact=True)).to_be_visible()
    page.get_by_role("link", name="Link another identity").click()
    assert troubles(page) == []
    page.get_by_role("link", name="Log in with UmbrellaID").click()
    log_in(page, "Alice Moreau")
    expect(page.get_by_role("heading", name="Link these two identities?")).to_be_visible()
    assert troubles(page) == []
    page.get_by_role("button", name="Link them").click()
    expect(page.get_by_text("Alice Moreau at UmbrellaID is linked.")).to_be_visible()
    assert troubles(page) == []
    page.get_by_role("link", name="Unlink UmbrellaID").click()
    assert troubles(page) == []
    page.get_by_role("button", name="Unlink").click()
    expect(page.get_by_text("is an account of its own again")).to_be_visible()
    assert not User.objects.filter(linked_to__isnull=False).exists()


def test_the_demo_asks_for_a_second_factor_too(portal: str, browse: Open, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.oidc.test_step_up"
    page = browse()
    page.goto("/guarded/")
    page.get_by_role("link", name="Sign in with MyAccessID").click()
    page.get_by_role("button", name=re.compile("Alice Moreau")).click()
    page.get_by_role("link", name="Log in with MyAccessID").click()
    page.get_by_role("button", name=re.compile("Alice Moreau")).click()
    assert troubles(page) == []
    page.get_by_role("button", name="Touch the demonstration key").click()
    expect(page.get_by_text(DONE)).to_be_visible()


def test_the_account_fits_a_phone(visitor: Visitor, browse: Open) -> None:
    page = browse(width=375)
    sign_in(page)
    for address in ("/account/", "/account/link/", "/account/confirm/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, address
