"""The broker process: one ASGI application, routed by host, and the server that runs it."""

import contextlib
import logging
import os
import re
import secrets
import socket
from urllib.parse import urlsplit

import uvicorn
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection as database
from uvicorn.supervisors import Multiprocess

from . import desktop
from .apps import Apps
from .asgi import Receive, Scope, Send, answer, forbid, header
from .database import in_database
from .presence import Presence
from .protocols import BoundedHttp, BoundedWebSocket
from .thumbnail import Thumbnails

MAX_MESSAGE = 16 << 20
PING, PONG = 10.0, 15.0
"""Seconds between pings, and for the answer: a laptop whose lid was closed frees its seat within 25 s."""
GRACE = 8
_KEY = re.compile("[0-9a-f]{32}")
log = logging.getLogger(__name__)


class Broker:
    """The application. It works from ASGI's lifespan.startup to lifespan.shutdown."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.presence = Presence(self.name)
        self._thumbnails = Thumbnails(self.presence)
        self._apps = Apps(self.presence)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as stack:
            for part in (self.presence, self._thumbnails, self._apps):
                await stack.enter_async_context(part.running())
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = (header(scope, b"host") or "").lower()
        if key := instance_key(host):
            await self._apps.websocket(scope, receive, send, key=key)
        elif host == urlsplit(settings.BROKER_URL).netloc and scope["path"] == "/desktop":
            await desktop.serve(scope, receive, send, presence=self.presence, thumbnails=self._thumbnails)
        else:
            await receive()
            await forbid(send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = (header(scope, b"host") or "").lower()
        if key := instance_key(host):
            await self._apps.http(scope, receive, send, key=key)
        elif host.endswith(settings.APPS_HOST):
            await answer(send, 404, "There is nothing here.\n")
        elif scope["path"] == "/health/live":  # by any other host name: probes come by address
            await answer(send, 200, "live\n")
        elif scope["path"] == "/health/ready":
            trouble = await self._trouble()
            await answer(send, 503 if trouble else 200, f"{trouble or 'ready'}\n")
        else:
            await answer(send, 404, "There is nothing here.\n")

    async def _trouble(self) -> str:
        if not self.presence.hearing:
            return "not listening yet"
        try:
            await in_database(_ask)
        except DatabaseError:
            return "no database"
        return ""


def instance_key(host: str) -> str | None:
    """The 32 digits of `<instance key>.<APPS_HOST>`, or None for every other host."""
    key, _, rest = host.partition(".")
    return key if rest == settings.APPS_HOST and _KEY.fullmatch(key) else None


def configuration(host: str, port: int, *, workers: int = 1) -> uvicorn.Config:
    """How the broker is served. Whom to believe about a caller's address comes from FORWARDED_ALLOW_IPS: nobody."""
    be_silent_about_urls()
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "")
    return uvicorn.Config(
        Broker() if workers == 1 else "instances.broker.workers:application",
        factory=workers > 1,
        workers=workers,
        host=host,
        port=port,
        http=BoundedHttp,
        ws=BoundedWebSocket,
        ws_max_size=MAX_MESSAGE,
        ws_ping_interval=PING,
        ws_ping_timeout=PONG,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=trusted,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=GRACE,
    )


def run(host: str, port: int, *, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT; then every connection is told to come back, and closed.

    Several processes share the port: the kernel gives each new connection to one of them, and one that dies is started
    again. They share nothing else but the database, as brokers on several machines do.
    """
    config = configuration(host, port, workers=workers)
    if workers == 1:
        uvicorn.Server(config).run()
    else:
        Multiprocess(config, sockets=[config.bind_socket()]).run()


def be_silent_about_urls() -> None:
    """Below a warning, uvicorn logs URLs, which may hold tokens."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _ask() -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
