"""The servers of a cloud, kept in memory as nova keeps its own: told twice to make one, it makes two."""

import random
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

IMAGES = ("desktop", "jupyter")


class Refused(Exception):
    """What was asked for makes no sense; it is not going to."""


@dataclass
class Server:
    deployment: str
    instance: str
    name: str
    image: str
    apps: list[str]
    generation: int
    labels: Mapping[str, str] = field(default_factory=dict)
    reference: str = field(default_factory=lambda: f"srv-{secrets.token_hex(6)}")
    secret: str = field(default_factory=secrets.token_hex, repr=False)
    created: float = field(default_factory=time.time)
    status: str = "starting"
    later: str = ""
    """What its status becomes at `at` (of the monotonic clock) by itself."""
    at: float = 0.0

    def shown(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("later", "at")}


class Cloud:
    """`delay` is the longest time, in seconds, that a server takes to start, to stop or to go."""

    def __init__(self, seed: int, delay: float) -> None:
        self.delay = delay
        self._random = random.Random(seed)
        self._servers: dict[str, Server] = {}
        self._by_instance: dict[str, dict[str, Server]] = {}
        self._changing: dict[str, Server] = {}

    def all(self, deployment: str = "") -> list[Server]:
        self._age()
        return [server for server in self._servers.values() if deployment in ("", server.deployment)]

    def of(self, deployment: str, instance: str) -> list[Server]:
        self._age()
        return [s for s in self._by_instance.get(instance, {}).values() if s.deployment == deployment]

    def get(self, reference: str) -> Server | None:
        self._age()
        return self._servers.get(reference)

    def create(self, wanted: Mapping[str, Any]) -> Server:
        if wanted["image"] not in IMAGES:
            raise Refused(f"There is no image “{wanted['image']}”.")
        server = Server(**wanted)
        self._servers[server.reference] = server
        self._by_instance.setdefault(server.instance, {})[server.reference] = server
        if server.status == "starting":
            self._becomes(server, "starting", "running")
        return server

    def rebuild(self, server: Server, wanted: Mapping[str, Any]) -> None:
        """The same server, with another image and other metadata, starts anew."""
        if not self._remains(server):
            return
        server.image, server.apps, server.generation = wanted["image"], wanted["apps"], wanted["generation"]
        server.labels = wanted["labels"]
        self._becomes(server, "starting", "running")

    def stop(self, server: Server) -> None:
        if self._remains(server) and server.status in ("starting", "running", "error"):
            self._becomes(server, "stopping", "stopped")

    def delete(self, server: Server) -> None:
        if self._remains(server):
            self._becomes(server, "deleting", "gone")

    def change(self, instance: str, status: str) -> None:
        """Something happened to its servers, and nobody asked for it."""
        for server in self._by_instance.get(instance, {}).values():
            server.status, server.later = status, ""
            self._changing.pop(server.reference, None)

    def _remains(self, server: Server) -> bool:
        """What goes is past all orders, also those that were given while it was there."""
        self._age()
        return server.reference in self._servers and server.status != "deleting"

    def _becomes(self, server: Server, now: str, later: str) -> None:
        server.status, server.later = now, later
        server.at = time.monotonic() + self._random.uniform(0, self.delay)
        self._changing[server.reference] = server
        self._age()

    def _age(self) -> None:
        now = time.monotonic()
        for server in [s for s in self._changing.values() if s.at <= now]:
            server.status, server.later = server.later, ""
            del self._changing[server.reference]
            if server.status == "gone":
                del self._servers[server.reference]
                del self._by_instance[server.instance][server.reference]
