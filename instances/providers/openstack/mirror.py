"""All of a project's servers, as this process last heard of them.

One list of everything at the start and every ten minutes, and between them only what changed. A server leaves the
mirror when nova lists it as DELETED or answers 404 for it, never because a list failed, was late or lacked it.
"""

import threading
import time
from datetime import UTC, timedelta

from instances.errors import ProviderError
from instances.states import Phase

from .door import Door, Missing
from .servers import Server, server
from .statuses import PHASES

WHOLE_EVERY = 600.0
"""Seconds."""
OVERLAP = timedelta(seconds=60)
"""Nova's processes need not agree on the time to the second: this much is listed twice."""


class Mirror:
    def __init__(self, door: Door, *, page: int) -> None:
        self._door = door
        self._page = page
        self._lock = threading.Lock()
        self._servers: dict[str, Server] = {}
        self._whole_at = self._listed_at = float("-inf")
        self._since = ""

    def servers(self, *, age: float = 0.0) -> list[Server]:
        """As of at most `age` seconds ago. Raises ProviderError where the cloud does not answer."""
        with self._lock:
            if time.monotonic() - self._listed_at >= age:
                self._list()
            return list(self._servers.values())

    def forget(self, server_id: str) -> None:
        """Only after nova's own word that it is gone."""
        with self._lock:
            self._servers.pop(server_id, None)

    def _list(self) -> None:
        began = time.monotonic()
        if not self._since or began - self._whole_at > WHOLE_EVERY:
            self._servers = self._whole()
            self._whole_at = began
        else:
            self._changes()
        self._listed_at = began

    def _whole(self) -> dict[str, Server]:
        """Nova names what is in a cell that does not answer only where no filter, order or limit is asked for."""
        since, found = "", {}
        for page in self._door.pages("compute", "/servers/detail", "servers"):
            since = since or self._now()
            for one in page:
                if one.get("status") == "UNKNOWN" and "metadata" not in one:
                    raise ProviderError("A part of the cloud does not answer.", retry=True)
                found[one["id"]] = server(one)
        for lost in set(self._servers) - set(found):
            if not self._gone(lost):
                found[lost] = self._servers[lost]
        self._since = since
        return found

    def _gone(self, server_id: str) -> bool:
        """Nova's own word: a page may have been short of a cell that fell silent meanwhile."""
        try:
            self._door.get("compute", f"/servers/{server_id}")
        except Missing:
            return True
        return False

    def _changes(self) -> None:
        since, parameters = "", {"changes-since": self._since, "limit": self._page}
        changed: dict[str, Server] = {}
        for page in self._door.pages("compute", "/servers/detail", "servers", **parameters):
            since = since or self._now()
            changed |= {one["id"]: server(one) for one in page}
        for one in changed.values():
            if PHASES.get(one.status) is Phase.ABSENT:
                self._servers.pop(one.id, None)
            else:
                self._servers[one.id] = one
        self._since = since

    def _now(self) -> str:
        """By nova's clock, not ours; empty where it does not tell, and then the next list is whole again."""
        said = self._door.said_at
        return (said.astimezone(UTC) - OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ") if said else ""
