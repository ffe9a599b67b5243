"""/events: what happens to the instances that somebody may see, as it happens, over one WebSocket per page.

Messages are hints, `{"topic": "instance", "instance": id, "state": …}`; the page asks for what it shows. After
`{"topic": "resync"}` it asks for everything, because messages may have been missed.
"""

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from auth import bus
from auth.access import Role
from auth.digests import session_digest
from auth.models import User
from instances.policy import OVERSEERS

STAFF = "staff"
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
        if await database_sync_to_async(_is_staff)(user):
            self.names.append(STAFF)
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
        """The person's roles may have changed: hear of everybody's instances, or no longer."""
        staff = await database_sync_to_async(_is_staff)(self.scope["user"])
        if staff and STAFF not in self.names:
            self.names.append(STAFF)
            await self.channel_layer.group_add(STAFF, self.channel_name)
        elif not staff and STAFF in self.names:
            self.names.remove(STAFF)
            await self.channel_layer.group_discard(STAFF, self.channel_name)
        await self.send_json(bus.RESYNC)

    async def ended(self, event: dict[str, Any]) -> None:
        await self.close(SIGNED_OUT)


def _is_staff(user: User) -> bool:
    return user.as_actor().has(*OVERSEERS, Role.AUDITOR)


async def fan_out() -> None:
    """Bus to groups, for as long as the web process lives."""
    layer = get_channel_layer()
    async for message in bus.listen():
        kind, told = "told", message
        match message:
            case {"topic": "instance", "owner": owner}:
                names = [f"user-{owner}", STAFF]
                told = {key: message[key] for key in ("topic", "instance", "state")}
            case {"topic": "close", "session": session}:
                kind, names = "ended", [f"session-{session}"]
            case {"topic": "close", "user": user}:
                kind, names = "ended", [f"user-{user}"]
            case {"topic": "rights", "users": [*users]}:
                kind, names = "reconsidered", [f"user-{user}" for user in users]
            case {"topic": "resync"}:
                # What was missed may have been about somebody's roles.
                kind, names = "reconsidered", [name for name in layer.groups if name.startswith("user-")]
            case _:
                continue
        for name in names:
            await layer.group_send(name, {"type": kind, "message": told})
