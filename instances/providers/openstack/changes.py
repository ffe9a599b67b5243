"""What nova is asked to change. Each is safe to ask for twice: a server that is there, or on its way, is left alone.

Nova does most of it later than it says yes. What must have ended before the caller goes on is waited for, a minute at
most; who comes back after that goes on where this left off.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from instances.errors import ProviderError
from instances.providers.base import Spec

from . import servers
from .configuration import Configuration
from .door import Busy, Door, Missing
from .servers import PREFIX, Server
from .statuses import WAKING

PATIENCE = 60.0
"""Seconds."""
SOFT_PATIENCE = 20.0
"""Seconds that a guest has to restart by itself before it is cut off."""
WAKE: Mapping[str, tuple[str, Any]] = {
    "SHUTOFF": ("os-start", None),
    "PAUSED": ("unpause", None),
    "SUSPENDED": ("resume", None),
    "SHELVED": ("unshelve", None),
    "SHELVED_OFFLOADED": ("unshelve", None),
    "RESCUE": ("unrescue", None),
    "SOFT_DELETED": ("restore", None),
}
"""By status, the action that makes it run."""
DOWN = frozenset({"SHUTOFF", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE", "SOFT_DELETED"})

MOVING = frozenset({"RESIZE", "REVERT_RESIZE", "REBUILD", "MIGRATING", "REBOOT", "HARD_REBOOT"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a server is to become."""

    flavour: Mapping[str, Any]
    image: str
    metadata: Mapping[str, str]
    user_data: str
    """In base64."""

    @property
    def firstboot(self) -> str:
        return self.metadata[f"{PREFIX}firstboot"]


def request(
    spec: Spec,
    configuration: Configuration,
    *,
    flavour: str,
    image: str,
    networks: list[str],
    groups: list[str],
    metadata: Mapping[str, str],
    user_data: str,
) -> dict[str, Any]:
    """The body of `POST /servers`."""
    asked: dict[str, Any] = {
        "name": f"{configuration.name_prefix}-{spec.owner.username}-{spec.id[:8]}",
        "flavorRef": flavour,
        "networks": [{"uuid": network} for network in networks] or "auto",
        "metadata": dict(metadata),
        "tags": servers.tags(spec.deployment, spec.id),
    }
    if groups:
        asked["security_groups"] = [{"name": group} for group in groups]
    if user_data:
        asked["user_data"] = b64encode(user_data.encode()).decode()
    if configuration.key_pair:
        asked["key_name"] = configuration.key_pair
    if configuration.availability_zone:
        asked["availability_zone"] = configuration.availability_zone
    if configuration.boot_volume_gb:
        disk = {"boot_index": 0, "source_type": "image", "uuid": image, "destination_type": "volume"}
        disk |= {"volume_size": configuration.boot_volume_gb, "delete_on_termination": True}
        asked["block_device_mapping_v2"] = [disk]
    else:
        asked["imageRef"] = image
    body: dict[str, Any] = {"server": asked}
    if configuration.server_group:
        body["os:scheduler_hints"] = {"group": configuration.server_group}
    return body


def bring(door: Door, server: Server, wish: Wish) -> None:
    """Make it run as wished, and note so. The note comes last: who dies before it has it done again."""
    if server.status == "BUILD":
        return
    server = settled(door, server)
    again = server.firstboot != wish.firstboot
    grown = server.flavour.get("original_name") != wish.flavour["name"]
    fresh = False
    if server.status in WAKE and not (server.status == "SHUTOFF" and (again or grown)):
        server, fresh = woken(door, server), True
    if server.status == "ERROR" and not again:
        server, fresh = cut_off(door, server), True
    if grown and server.status != "ERROR":
        server, fresh = resized(door, server, wish.flavour), True
    if again:
        rebuild(door, server, wish)
        return
    if server.status == "SHUTOFF":
        woken(door, server)
    elif not fresh and not rebooted(door, server):
        cut_off(door, server)
    door.post("compute", f"/servers/{server.id}/metadata", {"metadata": dict(wish.metadata)})


def woken(door: Door, server: Server) -> Server:
    """Switched on; before that, nova takes no notes of what is shelved."""
    if server.task not in WAKING:
        act(door, server.id, *WAKE[server.status])
    return wait(door, server.id, lambda now: now.status not in DOWN and not now.task, "to be switched on")


def settled(door: Door, server: Server) -> Server:
    """Whatever is under way has come to its end."""
    if server.status in MOVING:
        server = wait(door, server.id, lambda now: now.status not in MOVING and not now.task, "to be moved")
    return confirmed(door, server) if server.status == "VERIFY_RESIZE" else server


def resized(door: Door, server: Server, flavour: Mapping[str, Any]) -> Server:
    """Nova leaves a server as it was where no host has room for more."""
    act(door, server.id, "resize", {"flavorRef": flavour["id"]})
    server = wait(door, server.id, lambda now: now.status != "RESIZE" and not now.task, "to get other hardware")
    if server.flavour.get("original_name") != flavour["name"]:
        raise ProviderError(f"No machine of the cloud has room for “{flavour['name']}” now.", retry=False)
    return confirmed(door, server) if server.status == "VERIFY_RESIZE" else server


def confirmed(door: Door, server: Server) -> Server:
    act(door, server.id, "confirmResize", None)
    return wait(door, server.id, lambda now: now.status != "VERIFY_RESIZE" and not now.task, "to get other hardware")


def rebuild(door: Door, server: Server, wish: Wish) -> None:
    """A first boot with other data, from the image again. Homes and data are on the facility's storage."""
    asked = {"imageRef": wish.image, "metadata": dict(wish.metadata), "user_data": wish.user_data or None}
    volume = "" if server.image else "2.93"
    act(door, server.id, "rebuild", asked, microversion=volume)
    if server.status == "SHUTOFF":
        wait(door, server.id, lambda now: now.status != "REBUILD" and not now.task, "to be prepared anew")
        act(door, server.id, "os-start", None)


def cut_off(door: Door, server: Server) -> Server:
    """Restarted as by its power switch."""
    act(door, server.id, "reboot", {"type": "HARD"})
    return wait(door, server.id, lambda now: now.status != "HARD_REBOOT" and not now.task, "to restart")


def rebooted(door: Door, server: Server) -> bool:
    """Ask the guest to restart; False where it has not after a while."""
    act(door, server.id, "reboot", {"type": "SOFT"})
    with suppress(ProviderError):
        done = wait(door, server.id, lambda now: now.status != "REBOOT" and not now.task, "", SOFT_PATIENCE)
        return done.status == "ACTIVE"
    return False


def stop(door: Door, server: Server, *, shelve: bool) -> None:
    """Returns when the guest has ended; its disk stays."""
    if server.status in DOWN or server.beyond_repair:
        return
    if server.status == "BUILD":
        server = wait(door, server.id, lambda now: now.status != "BUILD", "to be made before it can be stopped")
    if server.status == "VERIFY_RESIZE":
        server = confirmed(door, server)
    if not server.task:
        with suppress(Busy):
            act(door, server.id, "shelve" if shelve else "os-stop", None)
    wait(door, server.id, lambda now: now.status in (*DOWN, "ERROR") and not now.task, "to end")


def delete(door: Door, server: Server) -> None:
    """Returns when nova says that it is gone."""
    if server.task != "deleting":
        with suppress(Missing):
            if server.status == "SOFT_DELETED":
                act(door, server.id, "forceDelete", None)
            else:
                door.delete("compute", f"/servers/{server.id}")
    with suppress(Missing):
        wait(door, server.id, lambda now: now.status in ("DELETED", "SOFT_DELETED"), "to be deleted")


def console(door: Door, server_id: str, lines: int = 200) -> str:
    """The end of what its console showed; empty where the cloud keeps none."""
    try:
        answer = door.post("compute", f"/servers/{server_id}/action", {"os-getConsoleOutput": {"length": lines}})
        return str(answer["output"])
    except (Missing, Busy):
        return ""


def act(door: Door, server_id: str, action: str, arguments: Any, microversion: str = "") -> None:
    door.post("compute", f"/servers/{server_id}/action", {action: arguments}, microversion)


def wait(door: Door, server_id: str, done: Callable[[Server], bool], what: str, patience: float = PATIENCE) -> Server:
    """Ask less and less often until `done`; ProviderError when patience ends, Missing when the server does."""
    until, pause = time.monotonic() + patience, 0.25
    while True:
        now = servers.server(door.get("compute", f"/servers/{server_id}")["server"])
        if done(now):
            return now
        if time.monotonic() + pause > until:
            raise ProviderError(f"The cloud takes long for the machine {what}.", retry=True)
        time.sleep(pause)
        pause = min(5.0, pause * 1.6)
