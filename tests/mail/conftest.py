"""The small facility, whose people have addresses, and a mail server."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from auth.models import User
from tests import facility as facilities
from tests.facility import Facility
from tests.pages.conftest import static_files

from .server import Mailbox, running

__all__ = ["static_files"]  # a fixture of the pages' tests


@pytest.fixture
def facility(db: None) -> Facility:
    clear_jobs()
    return with_addresses(facilities.build())


@pytest.fixture(autouse=True)
def server_configured(settings: Any) -> None:
    settings.SENDS_MAIL = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    settings.EMAIL_TIMEOUT = 5


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    made = Mailbox()
    with running(made) as settings.EMAIL_PORT:
        yield made


def clear_jobs() -> None:
    """Also of earlier tests that committed: their tables are not Django's to empty."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")


def with_addresses(facility: Facility) -> Facility:
    for name in ("ada", "bob", "eve", "ivy", "aud", "sci"):
        person: User = getattr(facility, name)
        person.email = f"{name}@example.org"
        person.save(update_fields=["email"])
    return facility
