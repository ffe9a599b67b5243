"""The broker as a process: hosts, health, bounds, thumbnails, and what is left behind by brokers that died."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus

from auth.models import AuditEvent
from instances.broker import ledger
from instances.broker.database import in_database
from instances.broker.thumbnail import capture
from instances.models import Connection, Instance
from instances.providers.base import Endpoint
from tests.facility import Facility
from tests.portal import ROOT, free_ports

from .world import PORTAL, SECRET, Broker, Xvnc, listen_url


async def test_health_is_told_and_everything_else_is_404(broker: Broker, desk: Instance) -> None:
    async with broker.browser() as browser:
        for host in ("localhost", "127.0.0.1"):
            for path, body in [("live", "live\n"), ("ready", "ready\n")]:
                answer = await browser.get(f"http://{host}:{broker.port}/health/{path}")
                assert (answer.status, await answer.text()) == (200, body)
        for url in (
            f"http://localhost:{broker.port}/",
            f"http://localhost:{broker.port}/desktop",
            f"http://evil.example:{broker.port}/lab",
            f"http://apps.localhost:{broker.port}/health/live",
            f"http://short.apps.localhost:{broker.port}/lab",
        ):
            answer = await browser.get(url)
            assert answer.status == 404, url


async def test_an_unknown_host_or_path_opens_no_socket(broker: Broker, desk: Instance) -> None:
    ticket = await broker.ticket(desk)
    with pytest.raises(InvalidStatus):
        await broker.knock(ticket, path="/other")
    async with broker.browser() as browser:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.ws_connect(
                f"http://127.0.0.1:{broker.port}/desktop",
                headers={"Origin": PORTAL},
                protocols=["visa-desktop", f"ticket.{ticket}"],
            )


async def test_a_request_head_without_end_is_cut_off(broker: Broker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
    with pytest.raises((ConnectionError, AssertionError)):
        for _ in range(1000):
            writer.write(b"x" * 8192)
            await writer.drain()
            await asyncio.sleep(0.001)
            assert not reader.at_eof() and not reader._buffer  # type: ignore[attr-defined]
    writer.close()


async def test_a_thumbnail_shows_the_desktop(xvnc: Xvnc) -> None:
    subprocess.run(
        ["xsetroot", "-solid", "#2040c0"], env={"DISPLAY": xvnc.display, "PATH": os.environ["PATH"]}, check=True
    )
    image = Image.open(io.BytesIO(await capture(Endpoint(path=str(xvnc.path), secret=SECRET))))
    assert (image.format, image.size) == ("JPEG", (480, 360))
    red, green, blue = image.getpixel((240, 180))  # type: ignore[misc]
    assert max(abs(red - 0x20), abs(green - 0x40), abs(blue - 0xC0)) < 12


async def test_the_last_to_leave_leaves_a_thumbnail_behind(broker: Broker, desk: Instance, desktop: Xvnc) -> None:
    async with broker.sit(desk) as seat:
        await seat.see()
    for _ in range(100):
        row = await in_database(Instance.objects.get, pk=desk.pk)
        if row.thumbnail:
            break
        await asyncio.sleep(0.05)
    assert bytes(row.thumbnail or b"")[:2] == b"\xff\xd8"
    assert row.thumbnail_at
    assert row.state_since == desk.state_since


def test_the_seats_of_a_dead_broker_are_freed(facility: Facility, desk: Instance) -> None:
    seat = {"user": facility.ada, "instance": desk, "mode": "control", "broker": "gone"}
    long_ago = timezone.now() - timedelta(seconds=40)
    dead = Connection.objects.create(**seat, app="desktop", heartbeat=long_ago)
    alive = Connection.objects.create(**seat, app="desktop")
    quiet = Connection.objects.create(**seat, app="jupyter", heartbeat=timezone.now() - timedelta(hours=11))
    idle = Connection.objects.create(**seat, app="jupyter", heartbeat=timezone.now() - timedelta(hours=13))
    assert ledger.sweep() == 2
    assert ledger.sweep() == 0
    reasons = dict(Connection.objects.values_list("pk", "reason"))
    assert reasons == {dead.pk: "broker lost", alive.pk: "", quiet.pk: "", idle.pk: "idle"}
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["connection.close"] * 2


async def test_sigterm_tells_everybody_to_come_back(desk: Instance, desktop: Xvnc, tmp_path: Path) -> None:
    """The process itself, as `manage.py broker`; its provider is not asked: the handshake is not needed for this."""
    port = free_ports(1)
    name = connection.settings_dict["NAME"]
    environment = os.environ | {
        "DATABASE_URL": listen_url(settings.DATABASE_URL, name),
        "VISA_PORTAL_URL": PORTAL,
        "VISA_BROKER_URL": f"http://localhost:{port}",
        "VISA_APPS_HOST": f"apps.localhost:{port}",
        "BROKER_TEST_SOCKET": str(desktop.path),
        "BROKER_TEST_SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "visa.settings",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.broker.standalone", str(port)], cwd=ROOT, env=environment, stderr=log
        )
    try:
        broker = Broker(port, None)  # type: ignore[arg-type]
        async with broker.browser() as browser:
            for _ in range(200):
                try:
                    if (await browser.get(f"http://localhost:{port}/health/ready")).status == 200:
                        break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        async with broker.sit(desk) as seat:
            await seat.see()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(seat.socket.recv(), 5)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1012
        assert await asyncio.to_thread(process.wait, 10) in (0, -signal.SIGTERM)
        row = await in_database(Connection.objects.get)
        assert row.closed
        said = (tmp_path / "log").read_text()
        assert "opened: control" in said
        assert "ticket." not in said
        assert SECRET not in said
    finally:
        process.kill()
        process.wait()
