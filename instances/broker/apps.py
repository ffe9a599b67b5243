"""Web apps of instances, each on an origin of its own: the way in, the cookie that holds the seat, and the proxy."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from urllib.parse import parse_qs

import aiohttp
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils.html import escape

from auth.digests import digest_of
from instances.errors import ProviderError, TicketRefused
from instances.models.connection import App
from instances.providers.base import Endpoint

from . import headers, tickets
from .asgi import BodyTooLong, Receive, Scope, Send, answer, forbid, header, small_body, visitor
from .database import in_database
from .endings import GOING_AWAY, Ending
from .forward import SAFE, forward
from .lines import Lines
from .presence import Presence, Seat
from .sockets import bridge
from .upstream import DIAL, endpoint_of

TRUST = 10.0
"""Seconds for which an answer of the database about a cookie is believed, unless the bus says otherwise."""
FORGET = 600.0
MAX_FORM = 4096
MAX_SHOWN = 4
POOL = 128
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Held:
    """A seat that a cookie stands for, as last confirmed."""

    seat: Seat
    endpoint: Endpoint
    confirmed: float
    used: float


class Apps:
    """Everything under `<instance key>.<APPS_HOST>`."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._held: dict[str, Held] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[Held | None]] = {}
        self._clients: dict[Endpoint, aiohttp.ClientSession] = {}
        self._lines: dict[Endpoint, Lines] = {}
        presence.on_end.append(self._drop)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, *self._asking.values(), return_exceptions=True)
            for lines in self._lines.values():
                lines.close()
            for client in self._clients.values():
                await client.close()

    async def http(self, scope: Scope, receive: Receive, send: Send, *, key: str) -> None:
        if scope["path"] == "/_enter":
            await self._enter(scope, receive, send, key)
            return
        if not _of_this_origin(scope):
            await _page(send, 403, "This request came from another site.")
            return
        try:
            held = await self._admit(scope, key)
            if held is None:
                await _page(send, 403, "This address opens from the portal only.")
                return
            where = held.endpoint
            lines, client = self._lines_to(where), self._client(where)
            if not await forward(scope, receive, send, seat=held.seat, lines=lines, client=client, endpoint=where):
                await _page(send, 403, "Your access to this instance has ended.")
        except (DatabaseError, ProviderError) as error:
            log.warning("a request for instance %s could not be judged: %s", key, error)
            await _page(send, 503, "The portal cannot check your access now. Try again in a moment.")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("instance %s did not answer: %s", key, type(error).__name__)
            await _page(send, 502, "The instance does not answer. It may be starting or stopping.")

    async def websocket(self, scope: Scope, receive: Receive, send: Send, *, key: str) -> None:
        await receive()
        held = None
        if header(scope, b"origin") == _origin(scope):
            with contextlib.suppress(DatabaseError, ProviderError):
                held = await self._admit(scope, key)
        if held is None:
            await forbid(send)
            return
        client = self._client(held.endpoint)
        await bridge(scope, receive, send, seat=held.seat, client=client, endpoint=held.endpoint)

    async def _enter(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        """A ticket, posted by the portal's page, becomes a cookie of this origin."""
        if scope["method"] != "POST":
            await _page(send, 405, "This address opens from the portal only.", ((b"allow", b"POST"),))
            return
        if header(scope, b"origin") != settings.PORTAL_URL:
            await _page(send, 403, "This request came from another site.")
            return
        cookie = secrets.token_urlsafe(32)
        try:
            form = parse_qs((await small_body(receive, MAX_FORM)).decode("latin-1"), max_num_fields=4)
            (ticket,) = form.get("ticket", [""])
            admission = await in_database(
                tickets.redeem,
                ticket,
                app=App.JUPYTER,
                broker=self._presence.broker,
                visitor=visitor(scope),
                key=key,
                digest=digest_of(cookie),
            )
        except (TicketRefused, BodyTooLong, ValueError):
            await _page(send, 403, "This way in is not valid any more.")
            return
        except DatabaseError:
            log.exception("a ticket could not be looked up")
            await _page(send, 503, "The portal cannot check your access now. Try again in a moment.")
            return
        log.info("connection %s opened: %s of instance %s", admission.connection, admission.app, admission.instance)
        await self._replace(scope, key, admission.user)
        secure = "; Secure" if _secure() else ""
        set_cookie = f"{_cookie_name()}={cookie}; Path=/; HttpOnly; SameSite=Lax{secure}"
        await answer(send, 303, "", headers=((b"location", b"/lab"), (b"set-cookie", set_cookie.encode())))

    async def _replace(self, scope: Scope, key: str, user: int) -> None:
        """The same person's earlier seat in this browser ends: its pages go on with the new cookie."""
        for digest in _shown(scope):
            with contextlib.suppress(DatabaseError):
                before = await in_database(tickets.by_cookie, digest, key=key)
                if before and before.user == user:
                    ending = Ending(GOING_AWAY, "entered again")
                    if held := self._held.get(digest):
                        self._presence.end(held.seat, ending)
                    await in_database(tickets.close, before.connection, ending)

    async def _admit(self, scope: Scope, key: str) -> Held | None:
        """The seat of the first cookie that holds one in this instance. Raises DatabaseError and ProviderError."""
        now = monotonic()
        for digest in _shown(scope):
            held = self._held.get(digest)
            if held is None or held.confirmed < now - TRUST:
                held = await asyncio.shield(self._asked(digest, key))
            if held and held.seat.admission.key == key and not held.seat.ending:
                held.used = now
                return held
        return None

    def _asked(self, digest: str, key: str) -> asyncio.Task[Held | None]:
        """A page sends dozens of requests at once: they share one question to the database."""
        asking = self._asking.get((digest, key))
        if asking is None:
            asking = self._asking[digest, key] = asyncio.create_task(self._ask(digest, key))
            asking.add_done_callback(lambda _: self._asking.pop((digest, key), None))
        return asking

    async def _ask(self, digest: str, key: str) -> Held | None:
        before = self._held.get(digest)
        admission = await in_database(tickets.by_cookie, digest, key=key)
        if admission is None:
            if before and before.seat.admission.key == key:
                await self._presence.confirm(before.seat)
            return None
        endpoint = await endpoint_of(admission)
        now = monotonic()
        if before and not before.seat.ending:
            before.endpoint, before.confirmed = endpoint, now
            return before
        seat = self._presence.add(admission)
        held = self._held[digest] = Held(seat, endpoint, now, now)
        await self._presence.confirm(seat)
        return held

    def _client(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        client = self._clients.get(endpoint)
        if client is None:
            client = self._clients[endpoint] = _session(endpoint)
        return client

    def _lines_to(self, endpoint: Endpoint) -> Lines:
        lines = self._lines.get(endpoint)
        if lines is None:
            lines = self._lines[endpoint] = Lines(endpoint)
        return lines

    def _drop(self, seat: Seat) -> None:
        self._held = {digest: held for digest, held in self._held.items() if held.seat is not seat}

    async def _tidy(self) -> None:
        """Forget what is not used: seats stay in the database, and come back with their cookie."""
        while True:
            await asyncio.sleep(FORGET / 10)
            old = monotonic() - FORGET
            for digest, held in list(self._held.items()):
                seat = held.seat
                if held.used < old and not seat.relays and not seat.used and not (seat.bytes_in or seat.bytes_out):
                    del self._held[digest]
                    self._presence.seats.pop(seat.admission.connection, None)
            wanted = {held.endpoint for held in self._held.values()}
            for endpoint in [endpoint for endpoint in self._clients if endpoint not in wanted]:
                await self._clients.pop(endpoint).close()
            for endpoint in [endpoint for endpoint in self._lines if endpoint not in wanted]:
                self._lines.pop(endpoint).close()


def _session(endpoint: Endpoint) -> aiohttp.ClientSession:
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(endpoint.path, limit=POOL, keepalive_timeout=15)
        if endpoint.path
        else aiohttp.TCPConnector(limit=POOL, limit_per_host=POOL, keepalive_timeout=15, ssl=_pinned(endpoint))
    )
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=2 * DIAL, sock_connect=DIAL),
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        read_bufsize=1 << 18,
        max_line_size=1 << 14,
        max_field_size=1 << 15,
        trust_env=False,
    )


def _pinned(endpoint: Endpoint) -> aiohttp.Fingerprint | bool:
    """The only certificate that may answer; it is compared before anything is sent."""
    return aiohttp.Fingerprint(bytes.fromhex(endpoint.certificate)) if endpoint.certificate else True


def _secure() -> bool:
    return bool(settings.BROKER_URL.startswith("https://"))


def _origin(scope: Scope) -> str:
    return f"{'https' if _secure() else 'http'}://{header(scope, b'host')}"


def _cookie_name() -> str:
    """With TLS a name that browsers take from this host alone, never from a neighbour for the whole domain."""
    return f"__Host-{headers.COOKIE}" if _secure() else headers.COOKIE


def _shown(scope: Scope) -> list[str]:
    return [digest_of(value) for value in headers.cookies(scope["headers"], _cookie_name())[:MAX_SHOWN]]


def _of_this_origin(scope: Scope) -> bool:
    """Whether a page of this very origin asks. Pages elsewhere may only lead people here."""
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    if scope["method"] not in SAFE and origin not in (None, _origin(scope)):
        return False
    if site in (None, "same-origin", "none"):
        return True
    leads_here = header(scope, b"sec-fetch-mode") == "navigate" and header(scope, b"sec-fetch-dest") == "document"
    return leads_here and scope["method"] == "GET"


async def _page(send: Send, status: int, sentence: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>JupyterLab</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:32rem;margin:15vh auto;padding:0 1rem}"
        "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#8ab4f8}}</style>"
        f"<h1>Not open</h1><p>{escape(sentence)}</p>"
        f'<p><a href="{escape(settings.PORTAL_URL)}/">Open JupyterLab from the portal</a></p></html>'
    )
    await answer(send, status, text, kind="text/html; charset=utf-8", headers=extra)
