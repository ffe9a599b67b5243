"""JupyterLab and its like through the broker: an origin of its own, entered once, streamed both ways."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psutil
import pytest
from django.db import transaction

from auth import bus
from auth.models import AuditEvent
from instances.broker.database import in_database
from instances.models import Connection, Instance
from instances.states import State
from tests.facility import Facility
from tests.facility import instance as another

from .test_desktop import loop_of
from .world import PORTAL, Broker, WebApp

KERNEL = "v1.kernel.websocket.jupyter.org"
MB = 1 << 20


@pytest.fixture
async def browser(broker: Broker) -> AsyncIterator[aiohttp.ClientSession]:
    async with broker.browser() as session:
        yield session


@pytest.fixture
async def cookie(broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp) -> str:
    return await broker.enter(browser, notebook)


def announce(topic: str, **fields: Any) -> None:
    with transaction.atomic():
        bus.announce(topic, **fields)


async def test_a_posted_ticket_becomes_a_cookie_for_this_host_alone(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp
) -> None:
    ticket = await broker.ticket(notebook)
    answer = await browser.post(
        f"{broker.origin(notebook)}/_enter", data={"ticket": ticket}, headers={"Origin": PORTAL}, allow_redirects=False
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/lab")
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Lax"]
    row = await in_database(Connection.objects.get)
    assert row.digest == hashlib.sha256(cookie.partition("=")[2].encode()).hexdigest()
    assert await in_database(lambda: AuditEvent.objects.get().action) == "connection.open"
    again = await browser.post(
        f"{broker.origin(notebook)}/_enter", data={"ticket": ticket}, headers={"Origin": PORTAL}, allow_redirects=False
    )
    assert again.status == 403
    assert "Set-Cookie" not in again.headers


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "own"])
async def test_a_ticket_posted_from_elsewhere_is_refused_and_not_used_up(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp, origin: str | None
) -> None:
    ticket = await broker.ticket(notebook)
    own = broker.origin(notebook)
    headers = {"Origin": own if origin == "own" else origin} if origin else {}
    answer = await browser.post(f"{own}/_enter", data={"ticket": ticket}, headers=headers, allow_redirects=False)
    assert answer.status == 403
    assert await broker.enter(browser, notebook, ticket)


async def test_a_ticket_never_travels_in_a_url(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp
) -> None:
    ticket = await broker.ticket(notebook)
    answer = await browser.get(f"{broker.origin(notebook)}/_enter?ticket={ticket}", headers={"Origin": PORTAL})
    assert answer.status == 405
    answer = await browser.post(f"{broker.origin(notebook)}/_enter?ticket={ticket}", headers={"Origin": PORTAL})
    assert answer.status == 403


async def test_a_ticket_for_another_instance_is_refused(
    broker: Broker, browser: aiohttp.ClientSession, facility: Facility, notebook: Instance, desk: Instance, app: WebApp
) -> None:
    for ticket in (await broker.ticket(desk), await broker.ticket(notebook, facility.eve)):
        answer = await browser.post(
            f"{broker.origin(notebook)}/_enter", data={"ticket": ticket}, headers={"Origin": PORTAL}
        )
        assert answer.status == 403


async def test_a_body_that_is_no_ticket_is_refused(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp
) -> None:
    for body in (b"", b"ticket=", b"ticket=a&ticket=b", b"ticket=" + b"x" * 100_000, b"\xff\xfe", b"a=1&" * 900):
        answer = await browser.post(f"{broker.origin(notebook)}/_enter", data=body, headers={"Origin": PORTAL})
        assert answer.status == 403


async def test_without_the_cookie_there_is_only_the_way_back_to_the_portal(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, app: WebApp
) -> None:
    for cookie in ({}, {"Cookie": "visa_app=guess"}, {"Cookie": "visa_session=abc"}):
        answer = await browser.get(f"{broker.origin(notebook)}/lab", headers=cookie)
        assert answer.status == 403
        assert f'href="{PORTAL}/"' in await answer.text()
    assert app.requests == []


async def test_the_cookie_of_one_instance_is_refused_on_another(
    broker: Broker, browser: aiohttp.ClientSession, facility: Facility, cookie: str, app: WebApp
) -> None:
    other = await in_database(another, facility, facility.ada, environment=facility.jupyter)
    assert (await browser.get(f"{broker.origin(other)}/lab", headers={"Cookie": cookie})).status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await browser.ws_connect(
            f"{broker.origin(other)}/socket", headers={"Cookie": cookie, "Origin": broker.origin(other)}
        )
    assert app.requests == []


async def test_a_cookie_that_a_neighbour_left_does_not_shut_anybody_out(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    answer = await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": f"visa_app=tossed; {cookie}"})
    assert answer.status == 200


async def test_the_instance_sees_its_own_cookies_and_none_of_ours(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    sent = f"visa_session=s; {cookie}; _xsrf=2; visa_csrf=c; messages=m; __Host-visa_app=h; theirs=a=b"
    headers = {
        "Cookie": sent,
        "Authorization": "Bearer portal",
        "X-Forwarded-For": "1.2.3.4",
        "Proxy-Authorization": "x",
        "TE": "trailers",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "X-Kept": "ü",
    }
    answer = await browser.get(f"{broker.origin(notebook)}/api/%2Fa%20b?q=%20x&y", headers=headers)
    told = json.loads(await answer.read())
    assert told["path"] == "/api/%2Fa%20b?q=%20x&y"
    got = {name.lower(): value for name, value in told["headers"]}
    assert got["cookie"] == "_xsrf=2; theirs=a=b"
    assert got["authorization"] == "token upstream-token"
    assert got["host"] == broker.origin(notebook).removeprefix("http://")
    assert got["x-forwarded-proto"] == "http"
    assert got["x-kept"] == "ü"
    assert not {"x-forwarded-for", "proxy-authorization", "te", "x-hop"} & set(got)


async def test_answers_lose_what_is_for_one_hop_and_gain_our_headers(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    answer = await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})
    assert "X-Secret-Hop" not in answer.headers
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"


async def test_an_instance_sets_cookies_for_itself_only_and_not_by_our_names(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    answer = await browser.get(f"{broker.origin(notebook)}/cookies", headers={"Cookie": cookie})
    assert answer.headers.getall("Set-Cookie") == ["theirs=1; Path=/", "_xsrf=2; Path=/"]


async def test_tens_of_megabytes_go_up_and_down_unchanged(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    body = bytes(range(256)) * (40 * MB // 256)

    async def in_pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), MB):
            yield body[at : at + MB]

    for data in (body, in_pieces()):
        answer = await browser.put(f"{broker.origin(notebook)}/upload", data=data, headers={"Cookie": cookie})
        told = json.loads(await answer.read())
        assert told["digest"] == hashlib.sha256(body).hexdigest()
    for how in ("", "&known"):
        app.sent = 0
        answer = await browser.get(
            f"{broker.origin(notebook)}/download?size={40 * MB}{how}", headers={"Cookie": cookie}
        )
        assert len(await answer.read()) == 40 * MB


async def test_a_long_answer_of_known_length_is_poured_and_arrives_unchanged(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    app.body = secrets.token_bytes(MB) * 32 + b"the end"
    for _ in range(2):  # over the same connections
        answer = await browser.get(f"{broker.origin(notebook)}/body", headers={"Cookie": cookie})
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(app.body).digest()
        assert (await browser.get(f"{broker.origin(notebook)}/echo", headers={"Cookie": cookie})).status == 200
    row = await in_database(Connection.objects.get)
    beat = broker.application.presence.beat()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(beat, loop_of(broker)))
    assert (await in_database(Connection.objects.get)).bytes_out - row.bytes_out > 60 * MB


async def test_a_long_answer_that_breaks_off_is_not_taken_for_a_whole_one(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    app.body, app.cut = bytes(32 * MB), 20 * MB
    answer = await browser.get(f"{broker.origin(notebook)}/body", headers={"Cookie": cookie})
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()


async def test_a_revocation_ends_a_long_answer_within_a_second(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    app.body = bytes(256 * MB)
    answer = await browser.get(f"{broker.origin(notebook)}/body", headers={"Cookie": cookie})
    await answer.content.readexactly(2 * MB)
    await in_database(announce, "close", instance=str(notebook.pk), reason="enough")
    revoked = time.monotonic()
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()
    assert time.monotonic() - revoked < 1.5


async def test_a_slow_reader_of_a_long_answer_holds_the_instance_back(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    app.body = bytes(256 * MB)
    answer = await browser.get(f"{broker.origin(notebook)}/body", headers={"Cookie": cookie})
    await asyncio.sleep(1)
    assert app.sent < 24 * MB
    answer.close()


async def test_a_slow_reader_holds_the_instance_back(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    before = psutil.Process().memory_info().rss
    answer = await browser.get(f"{broker.origin(notebook)}/download?size={500 * MB}", headers={"Cookie": cookie})
    await asyncio.sleep(1)
    assert app.sent < 24 * MB
    assert psutil.Process().memory_info().rss - before < 48 * MB
    answer.close()


async def test_an_upload_that_nobody_reads_holds_the_browser_back(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 500 * MB:
            given += MB
            yield bytes(MB)

    with pytest.raises((aiohttp.ClientError, TimeoutError)):
        async with asyncio.timeout(2):
            await browser.post(f"{broker.origin(notebook)}/sleepy", data=endless(), headers={"Cookie": cookie})
    assert given < 24 * MB


async def test_the_instance_is_told_that_the_browser_left(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    answer = await browser.get(f"{broker.origin(notebook)}/endless", headers={"Cookie": cookie})
    assert await answer.content.readline() == b"tick\n"
    answer.close()
    await asyncio.wait_for(app.gone.wait(), 3)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_another_site_cannot_change_anything(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp, method: str
) -> None:
    url = f"{broker.origin(notebook)}/api/contents"
    for origin in (PORTAL, "null", "http://evil.example", broker.origin(notebook).replace("http:", "https:")):
        answer = await browser.request(method, url, headers={"Cookie": cookie, "Origin": origin})
        assert answer.status == 403
    assert app.requests == []
    own = {"Cookie": cookie, "Origin": broker.origin(notebook), "Sec-Fetch-Site": "same-origin"}
    assert (await browser.request(method, url, headers=own)).status == 200


async def test_another_site_may_lead_here_but_not_load_from_here(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    url = f"{broker.origin(notebook)}/files/data.js"
    script = {"Cookie": cookie, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
    assert (await browser.get(url, headers=script)).status == 403
    link = {"Cookie": cookie, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert (await browser.get(url, headers=link | {"Sec-Fetch-Dest": "document"})).status == 200
    assert (await browser.get(url, headers=link | {"Sec-Fetch-Dest": "iframe"})).status == 403


async def test_a_kernel_s_socket_keeps_its_protocol_and_its_messages(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    async with browser.ws_connect(
        f"{broker.origin(notebook)}/socket?session_id=1",
        headers={"Cookie": f"{cookie}; _xsrf=2", "Origin": broker.origin(notebook)},
        protocols=[KERNEL],
        max_msg_size=0,
    ) as socket:
        assert socket.protocol == KERNEL
        await socket.send_str("grüße")
        assert (await socket.receive()).data == "grüße"
        for size in (0, 1, 70_000, 10 * MB):
            await socket.send_bytes(b"\7" * size)
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.BINARY, b"\7" * size)
    await asyncio.wait_for(app.gone.wait(), 3)
    (request,) = app.requests
    assert request.headers["Cookie"] == "_xsrf=2"
    assert request.headers["Authorization"] == "token upstream-token"
    assert request.headers["Origin"] == broker.origin(notebook)


@pytest.mark.parametrize("origin", [None, "null", PORTAL, "http://evil.example"])
async def test_another_site_opens_no_socket(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp, origin: str | None
) -> None:
    headers = {"Cookie": cookie} | ({"Origin": origin} if origin else {})
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await browser.ws_connect(f"{broker.origin(notebook)}/socket", headers=headers)
    assert refused.value.status == 403
    assert app.requests == []


async def test_a_socket_that_is_not_read_holds_the_instance_back(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    socket = await browser.ws_connect(
        f"{broker.origin(notebook)}/socket", headers={"Cookie": cookie, "Origin": broker.origin(notebook)}, timeout=1
    )
    await socket.send_str("flood")
    await asyncio.sleep(1)
    assert 0 < app.sent < 24 * MB
    await socket.close()


async def test_a_revocation_ends_sockets_streams_and_the_cookie_within_a_second(
    broker: Broker, browser: aiohttp.ClientSession, facility: Facility, notebook: Instance, cookie: str, app: WebApp
) -> None:
    own = {"Cookie": cookie, "Origin": broker.origin(notebook)}
    stream = await browser.get(f"{broker.origin(notebook)}/endless", headers=own)
    async with browser.ws_connect(f"{broker.origin(notebook)}/socket", headers=own) as socket:
        asked = time.monotonic()
        await in_database(announce, "close", user=facility.ada.pk, reason="Your account is closed.")
        message = await socket.receive()
        assert (message.type, socket.close_code, message.extra) == (
            aiohttp.WSMsgType.CLOSE,
            4003,
            "Your account is closed.",
        )
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.content.read()
        assert time.monotonic() - asked < 1
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers=own)).status == 403
    row = await in_database(Connection.objects.get)
    assert (row.reason, row.closed is None) == ("Your account is closed.", False)


async def test_a_cookie_is_useless_once_the_instance_has_stopped(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})).status == 200
    await in_database(Instance.objects.update, state=State.STOPPING)
    await in_database(announce, "instance", instance=str(notebook.pk), owner=notebook.owner_id, state="stopping")
    await asyncio.sleep(0.5)
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})).status == 403


async def test_a_cookie_that_no_broker_has_seen_yet_is_revoked_too(
    broker: Broker, browser: aiohttp.ClientSession, facility: Facility, notebook: Instance, cookie: str, app: WebApp
) -> None:
    await in_database(announce, "close", user=facility.ada.pk, reason="x")
    await asyncio.sleep(0.5)
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})).status == 403


async def test_entering_again_replaces_the_seat(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    newer = await broker.enter(browser, notebook, Cookie=cookie)
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})).status == 403
    assert (await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": newer})).status == 200


async def test_many_requests_at_once_ask_the_database_once(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    async def get(n: int) -> int:
        return (await browser.get(f"{broker.origin(notebook)}/static/{n}", headers={"Cookie": cookie})).status

    assert set(await asyncio.gather(*(get(n) for n in range(200)))) == {200}
    assert await in_database(Connection.objects.count) == 1


async def test_an_app_that_does_not_answer_is_a_502_with_a_sentence(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    app.path.unlink()
    answer = await browser.get(f"{broker.origin(notebook)}/lab", headers={"Cookie": cookie})
    assert answer.status == 502
    assert "does not answer" in await answer.text()


async def test_what_a_tab_sends_by_itself_is_no_input_and_running_a_cell_is(
    broker: Broker, browser: aiohttp.ClientSession, notebook: Instance, cookie: str, app: WebApp
) -> None:
    own = {"Cookie": cookie, "Origin": broker.origin(notebook)}
    for path in ("/lab", "/api/kernels", "/api/sessions"):  # every few seconds, while it is open
        await browser.get(f"{broker.origin(notebook)}{path}", headers=own)
    (seat,) = broker.application.presence.seats.values()
    async with browser.ws_connect(f"{broker.origin(notebook)}/api/kernels/0b3c/channels", headers=own) as socket:
        await socket.send_str('{"header":{"msg_type":"kernel_info_request"},"channel":"shell"}')
        await socket.receive()
        assert seat.input_at is None
        await socket.send_str('{"header":{"msg_type":"execute_request"},"channel":"shell"}')
        await socket.receive()
        assert seat.input_at is not None
