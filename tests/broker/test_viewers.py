"""Other people's viewers, through a small bridge from TCP to the broker's WebSocket: they work, each in its role."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from instances.models import Instance

from .world import Broker, Xvnc

VNCDO = Path(sys.executable).with_name("vncdo")


@contextlib.asynccontextmanager
async def bridge(broker: Broker, desk: Instance, **fields: str) -> AsyncIterator[int]:
    """A port on which a viewer finds the desktop, without a password."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(Exception):
            async with broker.knock(await broker.ticket(desk, **fields)) as socket:

                async def up() -> None:
                    while data := await reader.read(1 << 16):
                        await socket.send(data)

                async def down() -> None:
                    async for data in socket:
                        assert isinstance(data, bytes)
                        writer.write(data)
                        await writer.drain()

                tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1")
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def vncdo(port: int, *commands: str) -> None:
    command = [str(VNCDO), "--nocursor", "-s", f"127.0.0.1::{port}", *commands]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, said.decode()


async def test_vncdotool_works_in_a_desktop(broker: Broker, desk: Instance, desktop: Xvnc, tmp_path: Path) -> None:
    async with bridge(broker, desk) as port:
        await vncdo(port, "move", "123", "234", "click", "1", "key", "a", "capture", str(tmp_path / "shot.png"))
        assert desktop.pointer() == (123, 234)
        assert (tmp_path / "shot.png").stat().st_size > 100


async def test_vncdotool_that_watches_sees_and_changes_nothing(
    broker: Broker, desk: Instance, desktop: Xvnc, tmp_path: Path
) -> None:
    before = desktop.pointer()
    async with bridge(broker, desk, mode="watch") as port:
        await vncdo(port, "move", "321", "234", "click", "1", "capture", str(tmp_path / "shot.png"))
    assert desktop.pointer() == before
    assert (tmp_path / "shot.png").stat().st_size > 100


@pytest.fixture
async def viewer_display(folder: Path, xvnc: Xvnc) -> AsyncIterator[str]:
    """Where TigerVNC's viewer puts its window: a screen of its own."""
    screen = Xvnc(folder / "viewer", xvnc.passwords).start()
    yield screen.display
    screen.stop()


@pytest.mark.parametrize("mode", ["control", "watch"])
async def test_tigervnc_s_own_viewer_works_in_a_desktop(
    broker: Broker, desk: Instance, desktop: Xvnc, viewer_display: str, mode: str
) -> None:
    environment = os.environ | {"DISPLAY": viewer_display}
    before = desktop.pointer()
    async with bridge(broker, desk, mode=mode) as port:
        command = ["xtigervncviewer", "-FullScreen", "-SecurityTypes=None", f"127.0.0.1::{port}"]
        viewer = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for at in range(100):
                subprocess.run(["xdotool", "mousemove", str(300 + at), "200"], env=environment, check=True)
                await asyncio.sleep(0.05)
                if desktop.pointer()[1] == 200:
                    break
            assert viewer.poll() is None
            assert (desktop.pointer() != before) == (mode == "control")
        finally:
            viewer.kill()
            viewer.wait()
