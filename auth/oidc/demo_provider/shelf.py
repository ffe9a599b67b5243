"""Secrets handed out for a short while, in memory: codes, tokens, questions put to the person."""

import secrets
import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Each thing has a key nobody can guess and lies here for `seconds`; the oldest leave when `room` is used up."""

    def __init__(self, seconds: float, room: int = 1000) -> None:
        self.seconds = seconds
        self.room = room
        self._lock = threading.Lock()
        self._things: dict[str, tuple[float, T]] = {}

    def put(self, thing: T) -> str:
        key = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._things) >= self.room:
                del self._things[next(iter(self._things))]
            self._things[key] = (time.monotonic() + self.seconds, thing)
        return key

    def get(self, key: str) -> T | None:
        with self._lock:
            until, thing = self._things.get(key, (0.0, None))
        return thing if time.monotonic() < until else None

    def take(self, key: str) -> T | None:
        """The thing, once: of two callers at the same moment one gets it."""
        with self._lock:
            until, thing = self._things.pop(key, (0.0, None))
        return thing if time.monotonic() < until else None
