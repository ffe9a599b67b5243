"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from playwright.sync_api import Browser

from tests.chromium import started

IMAGES = Path(__file__).parent / "images"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker) -> None:  # type: ignore[no-untyped-def]
    """Tests that commit clean up with TRUNCATE, which the audit trail refuses everywhere else."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE visa_auth_auditevent DISABLE TRIGGER audit_keep_table")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all; each test opens contexts of its own in it."""
    # Playwright's event loop stays in this thread, which Django would take for an asynchronous caller.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with started() as browser:
        yield browser


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The machine image takes minutes: only where it is asked for by name (`make test-images`)."""
    asked = any("tests/images" in str(argument) for argument in config.args)
    return True if collection_path == IMAGES and not asked else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: once Playwright's loop is in this thread, asynchronous tests find it taken."""
    items.sort(key=lambda item: "chromium" in getattr(item, "fixturenames", ()))
