"""What must hold in a machine after its first boot, whatever it was made of."""

import asyncio
import io
import json
import os
import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import aiohttp
from PIL import Image

from instances.broker.thumbnail import capture
from instances.providers.base import Account, Endpoint, Mount, Screen, Spec
from instances.providers.secrets import Secrets, derived

from .guest import Guest, answers

KEY = "the tests' own key"
UID, GID, DATA = 24001, 24001, 34001


SPEC = Spec(
    id="5ca1ab1e" * 4,
    deployment="tests",
    generation=1,
    name="Grains",
    owner=Account("alice", "Alice Lind", UID, GID, (DATA,)),
    image="desktop",
    apps=("desktop", "jupyter"),
    cores=2,
    memory_mb=4096,
    screens=(Screen(1024, 768), Screen(800, 600)),
    keyboard="ch(fr)",
    labels={"environment": "desktop"},
)


def spec(storage: Path) -> Spec:
    """Alice, with raw data to read and processed data to write, made below `storage`."""
    mounts = []
    for name in ("RAW_DATA", "PROCESSED_DATA"):
        source = storage / "visitor/hc-1/id11/20261120" / name
        source.mkdir(parents=True)
        os.chown(source, 0, DATA)
        source.chmod(0o2770)
        (source / "measured.txt").write_text("42\n")
        mounts.append(Mount(str(source), f"/data/visitor/hc-1/id11/20261120/{name}", writable=name != "RAW_DATA"))
    return replace(SPEC, mounts=tuple(mounts))


def secrets_of() -> Secrets:
    return derived(KEY, SPEC.id, SPEC.generation)


def endpoint(guest: Guest, app: str, port: int) -> Endpoint:
    secrets = secrets_of()
    return Endpoint(host=guest.address, port=port, secret=getattr(secrets, app), certificate=secrets.fingerprint)


async def desktop(guest: Guest) -> None:
    answers(guest.address, 5901)
    for _ in range(60):
        picture = await capture(endpoint(guest, "desktop", 5901))
        with Image.open(io.BytesIO(picture)) as image:
            colours = image.convert("RGB").getcolors(1 << 20) or []
            width, height = image.size
        if len(colours) > 200:
            break
        await asyncio.sleep(0.5)
    assert len(colours) > 200, f"an empty desktop: {guest.log('visa-session.service')}"
    assert width / height == 480 / 202, "two screens, side by side"
    x = ["env", "DISPLAY=:1", "XAUTHORITY=/run/visa-display/authority"]
    assert "Monitors: 2" in guest.run([*x, "xrandr", "--listmonitors"], user="alice")
    assert "ch(fr)" in guest.run([*x, "setxkbmap", "-query"], user="alice").replace("\n", " ").replace(
        "layout:     ch variant:    fr", "ch(fr)"
    )


async def jupyter(guest: Guest) -> None:
    answers(guest.address, 8888, 120)
    found = endpoint(guest, "jupyter", 8888)
    pinned = aiohttp.Fingerprint(bytes.fromhex(found.certificate))
    base = f"https://{found.host}:{found.port}"
    token = {"Authorization": f"token {found.secret}"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=pinned)) as session:
        answer = await session.get(f"{base}/api/status", headers=token)  # an open port means that it answers
        assert answer.status == 200, guest.log("visa-jupyter.service")
        digest = guest.path("/opt/visa/token.sha256").read_text()
        for wrong in ({}, {"Authorization": f"token {digest}"}, {"Authorization": "token "}):
            assert (await session.get(f"{base}/api/contents", headers=wrong)).status == 403
        listed = await (await session.get(f"{base}/api/contents", headers=token)).json()
        names = sorted(item["name"] for item in listed["content"])
        assert names == ["HC-1 processed", "HC-1 raw (read only)", "home"]
        code = "print(open('/desk/HC-1 raw (read only)/measured.txt').read().strip())"
        assert await executed(session, base, token, code) == "42\n"


async def executed(session: aiohttp.ClientSession, base: str, token: dict[str, str], code: str) -> str:
    """What `code` prints in a new kernel."""
    kernel = await (await session.post(f"{base}/api/kernels", headers=token, json={})).json()
    async with session.ws_connect(f"{base}/api/kernels/{kernel['id']}/channels", headers=token) as socket:
        header = {"msg_id": "1", "msg_type": "execute_request", "username": "a", "session": "s", "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        asked = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await socket.send_str(json.dumps(asked))
        while True:
            said = json.loads((await socket.receive(timeout=60)).data)
            assert said["msg_type"] != "error", said["content"]
            if said["msg_type"] == "stream":
                return str(said["content"]["text"])


def person(guest: Guest) -> None:
    assert guest.run(["id", "-u"], user="alice").strip() == str(UID)
    assert set(guest.run(["id", "-G"], user="alice").split()) == {str(GID), str(DATA)}
    base = "/data/visitor/hc-1/id11/20261120"
    guest.run(["touch", f"{base}/PROCESSED_DATA/mine"], user="alice")
    refused = f"cat {base}/RAW_DATA/measured.txt && ! touch {base}/RAW_DATA/mine 2>&1"
    assert "Read-only file system" in guest.run(["sh", "-c", refused], user="alice")
    assert guest.run(["ls", "/data/visitor"], user="alice").split() == ["hc-1"]


def secrets(guest: Guest) -> None:
    """As the person: everything that they may read is searched for everything that is secret."""
    found = secrets_of()
    hidden = next(f for f in guest.config["write_files"] if f["path"] == "/etc/visa/desktop.password")["content"]
    key_line = found.private_key.splitlines()[1]
    needles = [found.desktop, found.jupyter, found.boot, key_line, b64decode(hidden).decode("latin-1")]
    for place in ("/etc/visa", "/run", "/var/lib/cloud", "/opt/visa", "/tmp", "/desk", "/home"):
        for needle in needles:
            search = ["grep", "-r", "-l", "-s", "-F", "--binary-files=text", "--devices=skip", "-e", needle, place]
            command = guest._wrapped(search, user="alice", environment={"LC_ALL": "C"})
            assert subprocess.run(command, capture_output=True, timeout=60).stdout == b"", (needle, place)
    kept = guest.path("/var/lib/cloud/instances/i")
    assert list(kept.iterdir()) == [], "what cloud-init keeps is wiped"
