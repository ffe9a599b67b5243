from collections.abc import Callable

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from auth.models import User

from .personas import World, world

As = Callable[[User], Client]


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def around(db: None) -> World:
    return world()


@pytest.fixture
def signed_in() -> As:
    def go(user: User) -> Client:
        client = Client(headers={"host": "localhost"})
        client.force_login(get_user_model().objects.get(pk=user.pk))
        return client

    return go
