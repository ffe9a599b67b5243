"""The small facility, whose people have addresses."""

import pytest

from auth.models import User
from tests import facility as facilities
from tests.facility import Facility


@pytest.fixture
def facility(db: None) -> Facility:
    return with_addresses(facilities.build())


@pytest.fixture(autouse=True)
def server_configured(settings) -> None:  # type: ignore[no-untyped-def]
    settings.SENDS_MAIL = True


def with_addresses(facility: Facility) -> Facility:
    for name in ("ada", "bob", "eve", "ivy", "aud", "sci"):
        person: User = getattr(facility, name)
        person.email = f"{name}@example.org"
        person.save(update_fields=["email"])
    return facility
