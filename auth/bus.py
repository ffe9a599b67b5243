"""What happened, told to every process: PostgreSQL's NOTIFY is the bus.

A message is a hint to look again, never the truth; it is sent when the caller's transaction commits. A listener that
lost its connection yields RESYNC after it is back, because it may have missed messages.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

CHANNEL = "visa"
RESYNC: dict[str, Any] = {"topic": "resync"}
log = logging.getLogger(__name__)


def announce(topic: str, **fields: Any) -> None:
    """Tell everybody, on commit. At most 8,000 bytes: send ids, not contents."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, json.dumps({"topic": topic, **fields})])


def announce_many(messages: Iterable[dict[str, Any]]) -> None:
    """Several messages with their topics, in one statement."""
    texts = [json.dumps(message) for message in messages]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, message) FROM unnest(%s::text[]) AS message", [CHANNEL, texts])


async def listen() -> AsyncIterator[dict[str, Any]]:
    """Every message from now on, for as long as the process lives; RESYNC first and after each interruption."""
    delay = 0.1
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(settings.LISTEN_URL, autocommit=True) as conn:
                await conn.execute(f"LISTEN {CHANNEL}")
                delay = 0.1
                yield RESYNC
                async for notification in conn.notifies():
                    yield json.loads(notification.payload)
        except psycopg.Error as error:
            log.warning("the bus is down, trying again in %.1f s: %s", delay, error)
        await asyncio.sleep(delay)
        delay = min(delay * 2, 5.0)
