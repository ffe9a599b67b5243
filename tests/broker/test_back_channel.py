"""Whoever signs out at the identity provider leaves the desktop too, within a second."""

import asyncio
import time
from datetime import timedelta
from hashlib import sha256

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from websockets.exceptions import ConnectionClosed

from auth.models import Login, User
from auth.oidc.logout import REASON, Logout, end
from instances.broker.database import in_database
from instances.broker.endings import REVOKED, TICKET
from instances.models import Instance

from .world import Broker, Desktop, Xvnc


def log_in(user: User, key: str, sid: str) -> str:
    """A session that came from `sid`; its digest, as tickets know it."""
    session = Session.objects.create(session_key=key, expire_date=timezone.now() + timedelta(hours=1))
    Login.objects.create(session=session, user=user, iss=user.iss, sub=user.sub, sid=sid, identity=user)
    return sha256(key.encode()).hexdigest()


async def closing(seat: Desktop) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(seat.socket.recv(), 5)
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_desktop_closes_within_a_second_of_the_logout(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    ada = desk.owner
    one = await in_database(log_in, ada, "one", "sid-1")
    two = await in_database(log_in, ada, "two", "sid-2")
    unused = await broker.ticket(desk, session=one)
    async with broker.sit(desk, session=one) as ended, broker.sit(desk, session=two) as stays:
        began = time.monotonic()
        assert await in_database(end, Logout(ada.iss, ada.sub, "sid-1", "jti", time.time())) == 1
        assert await closing(ended) == (REVOKED, REASON)
        assert time.monotonic() - began < 1
        assert await stays.see()
    async with broker.knock(unused) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
    assert closed.value.rcvd and closed.value.rcvd.code == TICKET
