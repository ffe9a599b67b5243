"""The broker as a process: hosts, health, bounds, thumbnails, and what is left behind by brokers that died."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
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

from .test_desktop import announce, ending
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


@contextlib.asynccontextmanager
async def processes(
    folder: Path, desktop: Xvnc, *, workers: int = 1
) -> AsyncIterator[tuple[Broker, subprocess.Popen[bytes]]]:
    """`manage.py broker` as it is run, on a desktop that is found without a cloud."""
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
    command = [sys.executable, "-m", "tests.broker.standalone", str(port), str(workers)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
    try:
        broker = Broker(port, None)  # type: ignore[arg-type]
        async with broker.browser() as browser:
            for _ in range(400):
                with contextlib.suppress(aiohttp.ClientError):
                    if (await browser.get(f"http://localhost:{port}/health/ready")).status == 200:
                        break
                await asyncio.sleep(0.05)
        yield broker, process
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 15) in (0, -signal.SIGTERM)


async def test_sigterm_tells_everybody_to_come_back(desk: Instance, desktop: Xvnc, tmp_path: Path) -> None:
    async with processes(tmp_path, desktop) as (broker, process), broker.sit(desk) as seat:
        await seat.see()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(seat.socket.recv(), 5)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1012
    row = await in_database(Connection.objects.get)
    assert row.closed
    said = (tmp_path / "log").read_text()
    assert "opened: control" in said
    assert "ticket." not in said


async def test_several_processes_share_a_port_and_a_revocation_reaches_each_within_a_second(
    desk: Instance, desktop: Xvnc, tmp_path: Path
) -> None:
    async with processes(tmp_path, desktop, workers=2) as (broker, _), contextlib.AsyncExitStack() as stack:
        seats = []
        for _ in range(200):
            seats.append(await stack.enter_async_context(broker.sit(desk)))
            if len(await in_database(served_by)) == 2:
                break
        both = await in_database(served_by)
        assert len(both) == 2
        for seat in seats:
            await seat.see()
        asked = time.monotonic()
        await in_database(announce, "close", user=desk.owner_id, reason="enough")
        codes = [await ending(seat.socket) for seat in seats]
        assert time.monotonic() - asked < 1
        assert set(codes) == {(4003, "enough")}


async def test_a_process_that_dies_is_started_again_and_its_people_come_back(
    desk: Instance, desktop: Xvnc, tmp_path: Path
) -> None:
    async with processes(tmp_path, desktop, workers=2) as (broker, process):
        async with broker.sit(desk) as seat:
            await seat.see()
            (name,) = await in_database(served_by)
            before = {child.pid for child in psutil.Process(process.pid).children()}
            os.kill(int(name.split(":")[1]), signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(seat.socket.recv(), 5)
        async with broker.sit(desk) as seat:  # at once: the other one is there
            await seat.see()
        for _ in range(200):
            now = {child.pid for child in psutil.Process(process.pid).children()}
            if len(now & before) == len(before) - 1 and len(now) == len(before):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("no new process")


def served_by() -> set[str]:
    """The processes that hold seats."""
    return set(Connection.objects.filter(closed=None).values_list("broker", flat=True))
