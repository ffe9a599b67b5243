"""The small facility with IT support, and people who have just confirmed who they are."""

import secrets
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from auth.access import Role
from auth.digests import digest_of
from auth.models import RoleGrant, User
from auth.oidc import step_up
from auth.oidc.claims import MFA
from tests import facility as facilities
from tests.facility import Facility
from tests.pages.conftest import server

__all__ = ["server"]  # the fixture of the pages' tests


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def facility(db: None) -> Facility:
    built = facilities.build()
    RoleGrant.objects.create(user=built.eve, role=Role.IT_SUPPORT, because="test", source="catalogue:files")
    return built


As = Callable[..., Client]


@pytest.fixture
def signed_in() -> As:
    def go(user: User, *, fresh: bool = True) -> Client:
        client = Client(headers={"host": "localhost"})
        client.force_login(User.objects.get(pk=user.pk))
        if fresh:
            confirm(client)
        return client

    return go


def confirm(client: Client) -> None:
    """As after a login with a second factor, a moment ago."""
    secret = secrets.token_urlsafe()
    session = client.session
    session[step_up.KEPT] = {"at": time.time(), "acr": MFA, "digest": digest_of(secret)}
    session.save()
    client.cookies[step_up.COOKIE] = secret


Browse = Callable[..., Page]


@pytest.fixture
def browse(server: str, chromium: Browser, signed_in: As) -> Iterator[Browse]:
    """`browse(user)` gives a page of a browser of its own in which `user` has just confirmed who they are."""
    contexts: list[BrowserContext] = []

    def go(user: User, *, dark: bool = False, width: int = 1280, height: int = 900) -> Page:
        context = chromium.new_context(
            base_url=server,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        cookies = signed_in(user).cookies
        context.add_cookies(
            [
                {"name": name, "value": cookies[name].value, "url": server}
                for name in (settings.SESSION_COOKIE_NAME, step_up.COOKIE)
            ]
        )
        return context.new_page()

    yield go
    for context in contexts:
        context.close()
