"""Taking messages for as long as the worker lives, whatever becomes of the broker and the database meanwhile."""

import logging
import random
import threading
from collections import deque
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections
from django.db import connection as database
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import AMQPError

from . import broker, record
from .apply import Outcome, Result, apply
from .broker import Delivery, Office
from .messages import Unreadable

log = logging.getLogger(__name__)
# Each failed attempt would fill a page; what matters is said here.
logging.getLogger("pika").setLevel(logging.CRITICAL)

AT_ONCE = 20
"""Messages that the broker may send ahead; each is acknowledged by itself."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds; it doubles from failure to failure."""
TICK = 0.5
"""Seconds in which `stop` is noticed."""
MOST_TRIES = 3
"""Of a message that fails for a reason nobody has foreseen: whoever listens to changed rights may have stumbled."""
PASSING = ("08", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE: connection, rolled back, resources, locks, shutting down, system."""
NOT_MIGRATED = ("42P01", "42703")
"""A table, a column is missing: the new program runs already, its migrations do not."""


class _Cancelled(Exception):
    """Somebody has deleted the queue."""


def consume(stop: threading.Event, office: Office) -> None:
    """Until `stop`: declare the queue, take its messages one by one, and begin again when the connection is lost.

    A message is acknowledged after the commit, so it may come again, which changes nothing. What cannot be read goes
    to the dead letters with its reason. While the database is away nothing is acknowledged and nothing given up.
    """
    pause = SHORTEST_PAUSE
    while not stop.is_set():
        line = _Line(stop, office)
        try:
            with broker.connected(office, purpose="consumer") as connection:
                line.run(connection)
        except (AMQPError, OSError, _Cancelled) as error:
            log.warning("%s: no message broker: %s", office.name, _brief(error))
        except Exception:
            # Whatever it was: a consumer that has ended is noticed by nobody.
            log.exception("%s: the consumer failed; it begins again", office.name)
        finally:
            database.close()
        if line.handled:
            pause = SHORTEST_PAUSE
        stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311
        pause = min(pause * 2, LONGEST_PAUSE)


class _Line:
    """One connection to the broker."""

    def __init__(self, stop: threading.Event, office: Office) -> None:
        self._stop, self._office = stop, office
        self._waiting: deque[Delivery] = deque()
        self._cancelled = False
        self._tries = 0
        """Of the first one that waits."""
        self.handled = 0

    def run(self, connection: BlockingConnection) -> None:
        broker.declare(connection, self._office)
        graveyard = connection.channel()
        graveyard.confirm_delivery()
        channel = connection.channel()
        channel.basic_qos(prefetch_count=AT_ONCE)
        channel.add_on_cancel_callback(self._cancel)
        channel.basic_consume(self._office.config.queue, self._take)
        log.info("%s: waiting for messages", self._office.name)
        pause = SHORTEST_PAUSE
        while not self._stop.is_set():
            if self._cancelled:
                raise _Cancelled("the queue was deleted")
            if not self._waiting:
                connection.process_data_events(time_limit=TICK)
            elif self._handle(self._waiting[0], graveyard):
                channel.basic_ack(self._waiting.popleft().tag)
                self.handled, self._tries = self.handled + 1, 0
                pause = SHORTEST_PAUSE
                connection.process_data_events(time_limit=0)
            else:
                self._wait(connection, pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _take(self, channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self._waiting.append(Delivery(method.delivery_tag, properties, body))

    def _cancel(self, method: Any) -> None:
        self._cancelled = True

    def _wait(self, connection: BlockingConnection, seconds: float) -> None:
        """The broker hears from us meanwhile, so that it does not give the message to somebody else."""
        while seconds > 0 and not self._stop.is_set():
            connection.process_data_events(time_limit=0)
            self._stop.wait(min(TICK, seconds))
            seconds -= TICK

    def _handle(self, delivery: Delivery, graveyard: BlockingChannel) -> bool:
        """Whether it is done with; False: try again later."""
        stamp, office = delivery.properties.timestamp, self._office
        self._tries += 1
        close_old_connections()
        try:
            _tell(office.name, apply(delivery.event, stamp, delivery.body, source=office.name, config=office.config))
            return True
        except Unreadable as error:
            return self._put_aside(delivery, graveyard, str(error))
        except Exception as error:
            if _is_passing(error):
                log.warning("%s: the database cannot take it now (%s); it waits", office.name, type(error).__name__)
                return False
            # One message must not hold up all others, whatever is wrong with it or with the portal.
            log.exception("%s: a message could not be dealt with, %d times", office.name, self._tries)
            if self._tries < MOST_TRIES:
                return False
            return self._put_aside(delivery, graveyard, f"the portal's fault: {type(error).__name__}")

    def _put_aside(self, delivery: Delivery, graveyard: BlockingChannel, reason: str) -> bool:
        """Whether that is known to administrators; if not, it is tried again."""
        try:
            record.put_aside(self._office.name, because=reason)
        except (DatabaseError, InterfaceError) as error:
            log.warning("%s: the database does not answer (%s)", self._office.name, type(error).__name__)
            return False
        broker.bury(graveyard, self._office, delivery, reason)
        log.error("%s: a message went to the dead letters: %s", self._office.name, reason)
        return True


def _is_passing(error: Exception) -> bool:
    """Whether the same message will do later: the database is away, busy, or not migrated yet."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        return isinstance(error, (OperationalError, InterfaceError))
    return isinstance(error, DatabaseError) and (state[:2] in PASSING or state in NOT_MIGRATED)


def _tell(name: str, result: Result) -> None:
    if result.outcome is Outcome.FOREIGN:
        return
    counts = ", ".join(f"{kind} {number}" for kind, number in result.counts)
    log.info("%s: %s: %s", name, result.proposal, counts or result.outcome.value)
    for note in result.notes:
        log.info("%s: %s: %s", name, result.proposal, note)


def _brief(error: BaseException) -> str:
    """Pika says some things only in `repr`; none of it holds the account."""
    return str(error) or repr(error)
