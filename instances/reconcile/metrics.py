"""What a worker can be asked over HTTP: its metrics, whether it lives, and whether it does what it is for."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.db import Error, close_old_connections
from django.utils import timezone
from prometheus_client import REGISTRY, make_wsgi_app

from instances.services import observation

log = logging.getLogger(__name__)
LATE = 60.0
"""Seconds past its period after which a loop of the worker counts as stuck."""
Environment = dict[str, object]
Respond = Callable[[str, list[tuple[str, str]]], object]


class Loops:
    """When each loop of this worker last came to its end without an error."""

    def __init__(self) -> None:
        self._periods: dict[str, float] = {}
        self._done: dict[str, float] = {}

    def began(self, name: str, period: float) -> None:
        self._periods[name] = period
        self._done[name] = time.monotonic()

    def done(self, name: str) -> None:
        self._done[name] = time.monotonic()

    def stuck(self) -> list[str]:
        now = time.monotonic()
        return sorted(name for name, at in self._done.items() if now - at > self._periods[name] + LATE)


def trouble(loops: Loops) -> dict[str, object]:
    """Why this worker is not ready; empty when it is."""
    found: dict[str, object] = {}
    if stuck := loops.stuck():
        found["stuck"] = stuck
    try:
        if stale := observation.stale(timezone.now()):
            found["clouds not observed lately"] = stale
    except Error:
        found["database"] = "does not answer"
    return found


def serve(host: str, port: int, loops: Loops) -> WSGIServer:
    """/health/live, /health/ready and /metrics, in a thread, for whoever watches over workers; never for the public."""
    REGISTRY.register(observation.Collector())
    metrics = make_wsgi_app()

    def answer(environ: Environment, respond: Respond) -> Iterable[bytes]:
        close_old_connections()
        try:
            return routed(environ, respond)
        finally:
            close_old_connections()

    def routed(environ: Environment, respond: Respond) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return cast(Iterable[bytes], metrics(environ, respond))
            case "/health/live":
                return _said(respond, "200 OK", {"status": "ok"})
            case "/health/ready":
                found = trouble(loops)
                return _said(respond, "503 Service Unavailable" if found else "200 OK", found or {"status": "ok"})
        return _said(respond, "404 Not Found", {"status": "there is nothing here"})

    server = make_server(host, port, answer, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _said(respond: Respond, status: str, what: dict[str, object]) -> list[bytes]:
    respond(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(what).encode()]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds."""
