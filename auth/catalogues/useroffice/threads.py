"""The worker's part in it: a thread for each User Office that is configured, and none without."""

import logging
import threading
import time

from auth.catalogues.base import CatalogueError

from .consume import consume
from .offices import offices

log = logging.getLogger(__name__)


class Consumers:
    """Begins at once. Every worker may have them: the broker sees to it that one at a time is given messages."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        try:
            found = offices()
        except CatalogueError as error:
            # Everything else that the worker does goes on.
            log.error("no User Office is listened to: %s", error)
            found = []
        self._threads = [
            # A daemon: a broker that hangs does not keep the worker from ending. What was not acknowledged comes again.
            threading.Thread(target=consume, args=(self._stop, one), name=f"useroffice {one.name}", daemon=True)
            for one in found
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell them to end, and return."""
        self._stop.set()

    def join(self, seconds: float = 2.0) -> None:
        """Wait for them, altogether at most so long."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
