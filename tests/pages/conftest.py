"""Pages as a browser gets them: real templates, hashed static files, a real server."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.testcases import LiveServerThread, _StaticFilesHandler
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page

from auth.models import User
from instances.models import Instance
from tests import facility as facilities
from tests.facility import Facility


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def facility(db: None) -> Facility:
    built = facilities.build()
    built.desktop.software = ["XFCE 4.18", "Terminal", "silx 2.2", "PyMca 5.9"]
    built.desktop.description = "A full Linux desktop with file manager and terminal."
    built.desktop.save()
    return built


As = Callable[[User], Client]


@pytest.fixture
def signed_in() -> As:
    def go(user: User) -> Client:
        client = Client(headers={"host": "localhost"})
        client.force_login(get_user_model().objects.get(pk=user.pk))
        return client

    return go


@pytest.fixture
def server(transactional_db: None) -> Iterator[str]:
    """Django's own test server, with the static files as they are deployed."""
    thread = LiveServerThread("localhost", _StaticFilesHandler)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    assert not thread.error
    yield f"http://localhost:{thread.port}"
    thread.terminate()
    thread.join()
    for connection in connections.all():
        connection.close()


Browse = Callable[..., Page]


@pytest.fixture
def browse(server: str, chromium: Browser, signed_in: As) -> Iterator[Browse]:
    """`browse(user)` gives a page of a browser of its own in which `user` is signed in."""
    contexts: list[BrowserContext] = []

    def go(user: User, *, dark: bool = False, width: int = 1280, height: int = 900, scripts: bool = True) -> Page:
        context = chromium.new_context(
            base_url=server,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",  # nothing is looked at while it fades
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        cookie = signed_in(user).cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": server}])
        return context.new_page()

    yield go
    for context in contexts:
        context.close()


def many(facility: Facility, owner: User, count: int) -> None:
    """`count` instances of one person, each for the experiment that runs."""
    shared = {"owner": owner, "environment": facility.desktop, "flavour": facility.small, "cloud": facility.cloud}
    made = Instance.objects.bulk_create(
        Instance(name=f"Instance {n}", created=timezone.now(), state="stopped", desired="stopped", **shared)
        for n in range(count)
    )
    through = Instance.experiments.through
    through.objects.bulk_create(through(instance=i, experiment=facility.running) for i in made)
