"""Starts the listener of a web process with the server and ends it with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from visa.events import fan_out


class Lifespan:
    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        await receive()
        listener = asyncio.create_task(fan_out())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        listener.cancel()
        await send({"type": "lifespan.shutdown.complete"})
