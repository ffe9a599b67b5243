"""/events: people hear of their own instances, staff of all, and nobody after signing out."""

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers
from django.contrib.auth.models import AnonymousUser
from django.db import connection, connections, transaction

from auth import bus
from auth.access import Role
from auth.models import RoleGrant
from tests import facility as facilities
from visa.events import SIGNED_OUT, Events, fan_out

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def facility(settings: Any) -> AsyncIterator[facilities.Facility]:
    """The small facility, and a web process's listener on the test database."""
    channel_layers.backends.clear()
    built = await sync_to_async(facilities.build)()
    database = await sync_to_async(connection.get_connection_params)()
    settings.LISTEN_URL = f"host={database['host']} dbname={database['dbname']} user={database['user']}"
    listener = asyncio.create_task(fan_out())
    await asyncio.sleep(0.3)
    yield built
    listener.cancel()
    await sync_to_async(connections.close_all)()


class Socket:
    def __init__(self, user: Any, session: str | None) -> None:
        scope = {"type": "websocket", "user": user, "session": SimpleNamespace(session_key=session)}
        self.ends = ApplicationCommunicator(Events.as_asgi(), scope)

    async def opened(self) -> bool:
        await self.ends.send_input({"type": "websocket.connect"})
        return bool((await self.ends.receive_output())["type"] == "websocket.accept")

    async def heard(self) -> Any:
        return json.loads((await self.ends.receive_output(2))["text"])


async def page(user: Any, session: str = "key") -> Socket:
    socket = Socket(user, session)
    assert await socket.opened()
    assert await socket.heard() == bus.RESYNC
    return socket


async def test_every_page_hears_that_the_line_has_moved_and_nothing_about_whom(facility: facilities.Facility) -> None:
    pages = [await page(user) for user in (facility.ada, facility.eve, facility.ivy)]
    await announce("line")
    assert [await socket.heard() for socket in pages] == [{"topic": "line"}] * 3


async def announce(topic: str, **fields: Any) -> None:
    def told() -> None:
        with transaction.atomic():
            bus.announce(topic, **fields)

    await sync_to_async(told)()


async def test_owner_and_staff_hear_of_an_instance_and_nobody_else(facility: facilities.Facility) -> None:
    ada, bob, ivy = await page(facility.ada), await page(facility.bob), await page(facility.ivy)
    await announce("instance", instance="i", owner=facility.ada.pk, state="ready")
    heard = {"topic": "instance", "instance": "i", "state": "ready"}
    assert await ada.heard() == heard
    assert await ivy.heard() == heard
    assert await bob.ends.receive_nothing(0.2)


async def test_signing_out_closes_that_session_s_pages_only(facility: facilities.Facility) -> None:
    here, elsewhere = await page(facility.ada, "one"), await page(facility.ada, "two")
    await announce("close", session=sha256(b"one").hexdigest(), reason="signed out")
    closed = await here.ends.receive_output(2)
    assert (closed["type"], closed["code"]) == ("websocket.close", SIGNED_OUT)
    assert await elsewhere.ends.receive_nothing(0.2)


async def test_a_visitor_without_a_login_hears_nothing(facility: facilities.Facility) -> None:
    assert not await Socket(AnonymousUser(), None).opened()


async def test_what_is_rolled_back_is_never_announced(facility: facilities.Facility) -> None:
    ada = await page(facility.ada)

    def rolled_back() -> None:
        with transaction.atomic():
            bus.announce("instance", instance="i", owner=facility.ada.pk, state="ready")
            transaction.set_rollback(True)

    await sync_to_async(rolled_back)()
    assert await ada.ends.receive_nothing(0.3)


async def test_a_role_that_is_given_or_ends_is_heard_on_pages_that_are_open(facility: facilities.Facility) -> None:
    bob, ivy = await page(facility.bob), await page(facility.ivy)
    grant = await RoleGrant.objects.acreate(user=facility.bob, role=Role.IT_SUPPORT, because="test", source="test")
    await announce("rights", users=[facility.bob.pk])
    assert await bob.heard() == bus.RESYNC
    await announce("instance", instance="i", owner=facility.ada.pk, state="ready")
    assert (await bob.heard())["instance"] == (await ivy.heard())["instance"] == "i"
    await grant.adelete()
    await announce("rights", users=[facility.bob.pk])
    assert await bob.heard() == bus.RESYNC
    await announce("instance", instance="j", owner=facility.ada.pk, state="ready")
    assert (await ivy.heard())["instance"] == "j"
    assert await bob.ends.receive_nothing(0.3)


async def test_who_looks_after_an_instrument_hears_of_what_they_may_see(facility: facilities.Facility) -> None:
    made = await sync_to_async(facilities.instance)(facility, facility.ada)
    sci, bob = await page(facility.sci), await page(facility.bob)
    await announce("instance", instance=str(made.pk), owner=facility.ada.pk, state="ready")
    assert await sci.heard() == {"topic": "instance", "instance": str(made.pk), "state": "ready"}
    assert await bob.ends.receive_nothing(0.2)
    await facility.running.proposal.__class__.objects.filter(code="hc-1").aupdate(proprietary=True)
    await announce("instance", instance=str(made.pk), owner=facility.ada.pk, state="stopped")
    assert await sci.ends.receive_nothing(0.3)
