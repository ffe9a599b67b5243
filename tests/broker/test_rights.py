"""A right that ends closes what is open because of it, and nothing else, within a second."""

import asyncio
import time

from django.db import transaction
from django.utils import timezone

from auth import rights
from auth.models import Participation
from instances.broker.database import in_database
from instances.broker.endings import REVOKED
from instances.models import Connection, Instance
from instances.services import grants
from instances.states import State
from tests.facility import Facility
from tests.facility import instance as another

from .test_back_channel import closing
from .world import Broker, WebApp, Xvnc


def mounted(row: Instance) -> None:
    """As it is once it was started with what its owner is entitled to."""
    granted = grants.granted_by(grants.entitlements(row, at=timezone.now()))
    assert granted
    Instance.objects.filter(pk=row.pk).update(**grants.columns(granted))


def leave(row: Instance) -> None:
    """What a catalogue's sync does when somebody is taken off a team."""
    with transaction.atomic():
        Participation.objects.filter(user=row.owner).delete()
        rights.announce(users=[row.owner_id], because="your part has ended")


async def test_a_desktop_closes_within_a_second_of_the_sync_that_ends_its_right(
    broker: Broker, facility: Facility, desk: Instance, desktop: Xvnc
) -> None:
    await in_database(mounted, desk)
    async with broker.sit(desk) as seat:
        assert await seat.see()
        began = time.monotonic()
        await in_database(leave, desk)
        code, reason = await closing(seat)
        assert time.monotonic() - began < 1
    assert code == REVOKED and "not on the team of HC-1" in reason
    row = await in_database(Instance.objects.get, pk=desk.pk)
    assert row.state == State.STOPPING and row.withheld
    ended = time.monotonic()
    while (written := await in_database(Connection.objects.get)).closed is None:
        assert time.monotonic() - ended < 5
        await asyncio.sleep(0.02)
    assert "HC-1" in written.reason


async def test_jupyterlab_s_cookie_opens_nothing_after_its_right_has_ended(
    broker: Broker, facility: Facility, notebook: Instance, app: WebApp
) -> None:
    await in_database(mounted, notebook)
    async with broker.browser() as browser:
        cookie = {"Cookie": await broker.enter(browser, notebook)}
        assert (await browser.get(f"{broker.origin(notebook)}/lab", headers=cookie)).status == 200
        await in_database(leave, notebook)
        ended = time.monotonic()
        status = 200
        while status == 200:
            assert time.monotonic() - ended < 1
            status = (await browser.get(f"{broker.origin(notebook)}/lab", headers=cookie, allow_redirects=False)).status
        assert status in (401, 403)


async def test_the_same_person_s_desktop_without_that_data_stays_open(
    broker: Broker, facility: Facility, desk: Instance, desktop: Xvnc
) -> None:
    with_data = await in_database(lambda: another(facility, facility.ada))
    await in_database(mounted, with_data)
    await in_database(lambda: desk.experiments.clear())
    async with broker.sit(desk) as seat:
        await in_database(leave, with_data)
        assert await seat.see()
    row = await in_database(Instance.objects.get, pk=with_data.pk)
    assert row.state == State.STOPPING
