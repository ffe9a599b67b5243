"""/events: what happens to the instances that somebody may see, as it happens, over one WebSocket per page.

Messages are hints, `{"topic": "instance", "instance": id, "state": …}`; the page asks for what it shows. After
`{"topic": "resync"}` it asks for everything, because messages may have been missed. `{"topic": "line"}` goes to every
page: positions in line may have changed.
"""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from auth import bus
from auth.access import Role
from auth.digests import session_digest
from auth.models import User
from instances.models import Member
from instances.policy import OVERSEERS, Action, may
from instances.services.visibility import facts, visible_to

STAFF, SUPPORT = "staff", "support"
OWN = ("user-", "session-")
"""Groups that a page is in for as long as it is open; the others follow the person's rights."""
SIGNED_OUT = 4001


class Events(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close()
            return
        self.names = [f"user-{user.pk}"]
        if key := self.scope["session"].session_key:
            self.names.append(f"session-{session_digest(key)}")
        self.names += await database_sync_to_async(_groups)(user)
        for name in self.names:
            await self.channel_layer.group_add(name, self.channel_name)
        await self.accept()
        await self.send_json(bus.RESYNC)

    async def disconnect(self, code: int) -> None:
        for name in getattr(self, "names", []):
            await self.channel_layer.group_discard(name, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Pages have nothing to say here."""

    async def told(self, event: dict[str, Any]) -> None:
        await self.send_json(event["message"])

    async def reconsidered(self, event: dict[str, Any]) -> None:
        """The person's rights may have changed: hear from now on of what they may see now, and look again."""
        wanted = [name for name in self.names if name.startswith(OWN)]
        wanted += await database_sync_to_async(_groups)(self.scope["user"])
        for name in set(self.names) - set(wanted):
            await self.channel_layer.group_discard(name, self.channel_name)
        for name in set(wanted) - set(self.names):
            await self.channel_layer.group_add(name, self.channel_name)
        self.names = wanted
        await self.send_json(bus.RESYNC)

    async def told_if_seen(self, event: dict[str, Any]) -> None:
        """What somebody sees because of an instrument or an experiment changes with the day: it is asked each time."""
        if await database_sync_to_async(_sees)(self.scope["user"], event["message"]["instance"]):
            await self.send_json(event["message"])

    async def told_if_watching(self, event: dict[str, Any]) -> None:
        if await database_sync_to_async(_watches)(self.scope["user"], event["message"]["instance"]):
            await self.send_json(event["message"])

    async def ended(self, event: dict[str, Any]) -> None:
        await self.close(SIGNED_OUT)


def _groups(user: User) -> list[str]:
    """Whose instances they hear of, beside what is said to them alone."""
    actor = user.as_actor()
    told_of_rights = [f"rights-{account}" for account in actor.accounts]
    if actor.has(*OVERSEERS, Role.AUDITOR):
        return [*told_of_rights, STAFF]
    let_in = Member.objects.filter(user__in=actor.accounts).exists()
    looks_after = [SUPPORT] if let_in or actor.instruments or actor.supports or actor.controls else []
    return told_of_rights + [f"owner-{account}" for account in actor.accounts] + looks_after


def _sees(user: User, instance: str) -> bool:
    actor = user.as_actor()
    return visible_to(actor).filter(pk=instance).exclude(owner__in=actor.accounts).exists()


def _watches(user: User, instance: str) -> bool:
    actor = user.as_actor()
    row = visible_to(actor).filter(pk=instance).first()
    return bool(row and may(actor, Action.WATCH, facts(row)))


async def fan_out() -> None:
    """Bus to groups, for as long as the web process lives."""
    layer = get_channel_layer()
    async for message in bus.listen():
        kind, told = "told", message
        match message:
            case {"topic": "instance", "owner": owner}:
                names = [f"owner-{owner}", STAFF]
                told = {key: message[key] for key in ("topic", "instance", "state")}
                await layer.group_send(SUPPORT, {"type": "told_if_seen", "message": told})
            case {"topic": "people"}:
                # Owners and members alike: who is there is told to everybody who may look.
                kind, names = "told_if_watching", [name for name in layer.groups if name.startswith("user-")]
            case {"topic": "close", "session": session}:
                kind, names = "ended", [f"session-{session}"]
            case {"topic": "close", "user": user}:
                kind, names = "ended", [f"rights-{user}"]
            case {"topic": "rights", "users": [*users]}:
                kind, names = "reconsidered", [f"rights-{user}" for user in users]
            case {"topic": "request", "users": [*users]}:
                names = [f"user-{user}" for user in users]
                told = {key: message[key] for key in ("topic", "instance")}
            case {"topic": "line"}:
                names = [name for name in layer.groups if name.startswith("user-")]
            case {"topic": "resync"}:
                # What was missed may have been about somebody's rights.
                kind, names = "reconsidered", [name for name in layer.groups if name.startswith("user-")]
            case _:
                continue
        for name in names:
            await layer.group_send(name, {"type": kind, "message": told})
