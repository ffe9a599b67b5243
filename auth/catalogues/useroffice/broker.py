"""The message broker: the portal's own queue, what becomes of messages that cannot be read, and the connection.

Beside the queue stand an exchange `DLX__<queue>` and a queue `DL__<queue>`, named as User Office names its own.
"""

import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pika
import pika.data
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker, InvalidFieldTypeException

from auth.catalogues.wire import Account

from .config import Config

REASON, SINCE = "x-visa-reason", "x-visa-since"
LONGEST_REASON = 500
NOT_FOUND = 404
HEARTBEAT = 20
"""Seconds; a worker that has vanished holds the queue for up to twice as long."""


_decode_table = pika.data.decode_table


def _decode_table_or_nothing(encoded: bytes, offset: int) -> tuple[dict[str | bytes, Any], int]:
    """Headers that pika cannot read are none.

    It fails on a timestamp in milliseconds, as JavaScript sends them, while it reads from the connection: that ends
    with the message, which then comes again, for ever.
    """
    try:
        return _decode_table(encoded, offset)
    except (ValueError, OverflowError, OSError, struct.error, InvalidFieldTypeException):
        return {}, offset + 4 + int(struct.unpack_from(">I", encoded, offset)[0])


pika.data.decode_table = _decode_table_or_nothing


@dataclass(frozen=True, slots=True)
class Office:
    """A User Office as configured: `name` is the catalogue's."""

    name: str
    config: Config
    account: Account

    @property
    def dead(self) -> str:
        return f"DL__{self.config.queue}"

    @property
    def dead_exchange(self) -> str:
        return f"DLX__{self.config.queue}"


@dataclass(frozen=True, slots=True)
class Delivery:
    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def event(self) -> str:
        """Empty when there is none, or none that is text."""
        return self.properties.type if isinstance(self.properties.type, str) else ""

    @property
    def headers(self) -> Mapping[str, Any]:
        return self.properties.headers or {}


@contextmanager
def connected(office: Office, *, purpose: str) -> Iterator[BlockingConnection]:
    """AMQPError or OSError when there is no getting through."""
    connection = BlockingConnection(_parameters(office, purpose))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def declare(connection: BlockingConnection, office: Office) -> None:
    """Exchange, queue and dead letters, durable. What is there already must be as it would be declared."""
    config = office.config
    _exchange(connection, config.exchange)
    channel = connection.channel()
    channel.exchange_declare(office.dead_exchange, "fanout", durable=True)
    channel.queue_declare(office.dead, durable=True)
    channel.queue_bind(office.dead, office.dead_exchange)
    # One consumer at a time, in whichever worker: two would overtake each other.
    arguments = {"x-single-active-consumer": True, "x-dead-letter-exchange": office.dead_exchange}
    channel.queue_declare(config.queue, durable=True, arguments=arguments)
    channel.queue_bind(config.queue, config.exchange)
    channel.close()


def _exchange(connection: BlockingConnection, name: str) -> None:
    """User Office's own; to ask whether it is there needs no right to make one."""
    try:
        channel = connection.channel()
        channel.exchange_declare(name, "fanout", passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise
        channel = connection.channel()
        channel.exchange_declare(name, "fanout", durable=True)
    channel.close()


def bury(channel: BlockingChannel, office: Office, delivery: Delivery, reason: str) -> None:
    """Put a copy to the dead letters, with the reason; it is there when this returns. `channel` confirms."""
    headers = {REASON: reason[:LONGEST_REASON], SINCE: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    _copy(channel, office.dead_exchange, "", delivery, headers)


def dead_letters(connection: BlockingConnection, office: Office) -> Iterator[tuple[Delivery, str]]:
    """Those that are there now, each with its reason; they stay."""
    channel = connection.channel()
    for delivery in _waiting(channel, office.dead):
        reason = delivery.headers.get(REASON)
        yield delivery, str(reason or "the broker gives no reason")
    channel.close()


def replay(connection: BlockingConnection, office: Office) -> int:
    """Move the dead letters back to the queue, oldest first; how many. None is ever in neither place."""
    source, target = connection.channel(), connection.channel()
    target.confirm_delivery()
    moved = 0
    for delivery in _waiting(source, office.dead):
        _copy(target, "", office.config.queue, delivery, {})
        source.basic_ack(delivery.tag)
        moved += 1
    source.close()
    target.close()
    return moved


def _waiting(channel: BlockingChannel, queue: str) -> Iterator[Delivery]:
    """As many as there are now: what comes back meanwhile is not taken a second time."""
    for _ in range(channel.queue_declare(queue, passive=True).method.message_count):
        method, properties, body = channel.basic_get(queue)
        if method is None or properties is None or method.delivery_tag is None:
            return
        yield Delivery(method.delivery_tag, properties, body or b"")


def _copy(channel: BlockingChannel, exchange: str, key: str, delivery: Delivery, headers: dict[str, Any]) -> None:
    said = delivery.properties
    properties = pika.BasicProperties(
        type=delivery.event, timestamp=said.timestamp, content_type=said.content_type, delivery_mode=2, headers=headers
    )
    # Mandatory and confirmed: it raises when no queue has it.
    channel.basic_publish(exchange, key, delivery.body, properties, mandatory=True)


def _parameters(office: Office, purpose: str) -> pika.ConnectionParameters:
    address, account = office.config.broker, office.account
    context = ssl.create_default_context(cafile=office.config.ca) if address.tls else None
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.virtual_host,
        credentials=pika.PlainCredentials(account.username, account.password),
        ssl_options=pika.SSLOptions(context, address.host) if context else None,
        heartbeat=HEARTBEAT,
        socket_timeout=5,
        stack_timeout=10,
        blocked_connection_timeout=30,
        client_properties={"connection_name": f"visa {office.name}: {purpose}"},
    )
