"""Whether the apps of a guest answer, asked over the network as the broker would."""

import socket
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from .servers import Server

WITHIN = 1.0
"""Seconds."""
KEEP = 30.0
"""Seconds that an answer counts; a server that was changed meanwhile is asked again."""
AT_ONCE = 16


class Answers:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, str], float] = {}

    def of(self, asked: Iterable[tuple[Server, str, dict[str, int]]]) -> dict[str, frozenset[str]]:
        """By server id, which of its apps answer at `address`, given their ports; all are asked at once."""
        due, found = [], {}
        now = time.monotonic()
        for server, address, ports in asked:
            kept = {app for app in ports if now - self._kept.get((server.id, server.updated, app), -KEEP) < KEEP}
            found[server.id] = kept
            due += [(server, address, app, ports[app]) for app in ports if app not in kept and address]
        if due:
            with ThreadPoolExecutor(min(AT_ONCE, len(due))) as pool:
                answered = pool.map(lambda one: answers(one[1], one[3], one[2]), due)
            for (server, _, app, _), yes in zip(due, answered, strict=True):
                if yes:
                    found[server.id].add(app)
                    self._keep(server, app)
        return {server_id: frozenset(apps) for server_id, apps in found.items()}

    def _keep(self, server: Server, app: str) -> None:
        now = time.monotonic()
        with self._lock:
            self._kept = {key: at for key, at in self._kept.items() if now - at < KEEP}
            self._kept[server.id, server.updated, app] = now


def answers(address: str, port: int, app: str) -> bool:
    """A desktop greets by itself; any other app takes the connection."""
    try:
        with socket.create_connection((address, port), WITHIN) as connection:
            connection.settimeout(WITHIN)
            return app != "desktop" or connection.recv(4) == b"RFB "
    except OSError:
        return False
