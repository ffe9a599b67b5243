"""What those who were let in may do while the owner is not there, on live connections."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
from django.utils import timezone

from auth.models import AuditEvent
from instances.broker.database import in_database
from instances.errors import Conflict, Denied, Invalid
from instances.models import Connection, Instance, Member
from instances.services import presence
from instances.services.connect import connect
from instances.services.share import share
from tests.facility import Facility

from .test_desktop import ending
from .world import Broker, Desktop, Xvnc


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "GRACE", -presence.GRACE)


@pytest.fixture
def shared(facility: Facility, desk: Instance) -> Instance:
    share(desk.pk, acting_user=desk.owner, user=facility.bob.pk, role="collaborator")
    return desk


def rule(desk: Instance, alone: str) -> None:
    presence.set_alone(desk.pk, acting_user=desk.owner, alone=alone)


async def points(seat: Desktop, desktop: Xvnc, x: int, y: int) -> bool:
    await seat.socket.send(struct.pack(">BBHH", 5, 0, x, y))
    await seat.see()
    return desktop.pointer() == (x, y)


async def comes_to(seat: Desktop, desktop: Xvnc, wanted: bool) -> None:
    """Control is gained or lost within two seconds."""
    for at in range(40):
        if await points(seat, desktop, 100 + at, 200) == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"control stays {not wanted}")


@contextlib.asynccontextmanager
async def owner_in(broker: Broker, desk: Instance) -> AsyncIterator[Desktop]:
    async with broker.sit(desk) as seat:
        yield seat
    for _ in range(100):
        if not await in_database(Connection.objects.filter(user=desk.owner, closed=None).exists):
            break
        await asyncio.sleep(0.05)


async def test_without_the_owner_they_only_watch_and_work_again_when_the_owner_is_back(
    broker: Broker, facility: Facility, shared: Instance, desktop: Xvnc
) -> None:
    await in_database(rule, shared, "watch")
    async with broker.sit(shared, user=facility.bob) as bob:
        assert not await points(bob, desktop, 50, 60)  # comes while the owner is away
        async with owner_in(broker, shared):
            await comes_to(bob, desktop, True)
        assert await in_database(presence.look) == 1
        await comes_to(bob, desktop, False)
        row = await in_database(Connection.objects.get, user=facility.bob)
        assert row.mode == "watch" and row.closed is None


async def test_without_the_owner_nobody_is_in_it_if_the_owner_says_so(
    broker: Broker, facility: Facility, shared: Instance, desktop: Xvnc
) -> None:
    await in_database(rule, shared, "no")
    with pytest.raises(Conflict, match="wants nobody in it"):
        await in_database(connect, shared.pk, acting_user=facility.bob, app="desktop")
    async with owner_in(broker, shared):
        bob = broker.sit(shared, user=facility.bob)
        seat = await bob.__aenter__()
        await comes_to(seat, desktop, True)
    await in_database(presence.look)
    assert await ending(seat.socket) == (4003, presence.NOBODY)
    await bob.__aexit__(None, None, None)


async def test_the_owner_changes_the_rule_and_it_holds_at_once(
    broker: Broker, facility: Facility, shared: Instance, desktop: Xvnc
) -> None:
    async with broker.sit(shared, user=facility.bob) as bob:
        await comes_to(bob, desktop, True)
        await in_database(rule, shared, "watch")
        await comes_to(bob, desktop, False)
        await in_database(rule, shared, "allowed")
        await comes_to(bob, desktop, True)


@pytest.mark.django_db
def test_who_was_away_for_a_moment_was_not_away(shared: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "GRACE", -presence.GRACE)
    seat = {"instance": shared, "app": "desktop", "mode": "control", "broker": "b"}
    Connection.objects.create(**seat, user=shared.owner, closed=timezone.now() - presence.GRACE / 2)
    assert presence.owner_is_there(shared)
    Connection.objects.update(closed=timezone.now() - 2 * presence.GRACE)
    assert not presence.owner_is_there(shared)


@pytest.mark.django_db
def test_only_the_owner_sets_it_to_what_there_is_and_it_is_in_the_trail(shared: Instance, facility: Facility) -> None:
    with pytest.raises(Invalid):
        rule(shared, "perhaps")
    with pytest.raises(Denied):
        presence.set_alone(shared.pk, acting_user=facility.bob, alone="no")
    rule(shared, "watch")
    rule(shared, "watch")
    assert AuditEvent.objects.get(action="instance.alone").detail == {"before": "allowed", "after": "watch"}
    assert Member.objects.get().role == "collaborator"
