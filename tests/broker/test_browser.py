"""What only a real browser can tell: origins, cookies and redirects between the portal and an instance."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Route, async_playwright

from instances.models import Instance
from tests.chromium import ARGUMENTS, EXECUTABLE

from .world import PORTAL, Broker, WebApp


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        yield await chromium.new_page()
        await chromium.close()


async def test_a_form_of_the_portal_leads_into_the_app_and_its_sockets(
    broker: Broker, notebook: Instance, app: WebApp, page: Page
) -> None:
    async def portal(route: Route) -> None:
        form = (
            '<meta name="referrer" content="strict-origin">'
            f'<form method="post" action="{broker.origin(notebook)}/_enter">'
            f'<input name="ticket" value="{await broker.ticket(notebook)}"><button>Open</button></form>'
        )
        headers = {"Set-Cookie": "visa_session=portal; Path=/"}
        await route.fulfill(body=form, content_type="text/html", headers=headers)

    await page.route(f"{PORTAL}/**", portal)
    await page.goto(f"{PORTAL}/")
    async with page.expect_navigation(url="**/lab"):
        await page.get_by_role("button").click()
    assert page.url == f"{broker.origin(notebook)}/lab"
    assert app.requests[-1].path == "/lab"
    assert "Cookie" not in app.requests[-1].headers
    assert await page.evaluate("document.cookie") == ""
    echoed = await page.evaluate(
        """() => new Promise((resolve, reject) => {
            const socket = new WebSocket(`ws://${location.host}/socket`, "v1.kernel.websocket.jupyter.org");
            socket.onopen = () => socket.send("from the page");
            socket.onmessage = (event) => resolve(`${socket.protocol}: ${event.data}`);
            socket.onerror = () => reject(new Error("refused"));
        })"""
    )
    assert echoed == "v1.kernel.websocket.jupyter.org: from the page"
    posted = "fetch('/api/contents', {method: 'POST', body: 'x'}).then((answer) => answer.status)"
    assert await page.evaluate(posted) == 200
    await page.reload()
    assert page.url == f"{broker.origin(notebook)}/lab"


async def test_another_instance_s_page_reaches_nothing(
    broker: Broker, notebook: Instance, app: WebApp, page: Page
) -> None:
    """Two instances are the same site to a browser: its cookies alone would not keep them apart."""
    async with broker.browser() as session:
        cookie = await broker.enter(session, notebook)
    name, _, value = cookie.partition("=")
    await page.context.add_cookies([{"name": name, "value": value, "url": broker.origin(notebook)}])
    neighbour = f"http://{'0' * 32}.apps.localhost:{broker.port}"
    await page.route(f"{neighbour}/**", lambda route: route.fulfill(body="<p>code</p>", content_type="text/html"))
    await page.goto(f"{neighbour}/")
    tried = await page.evaluate(
        """async (origin) => {
            const said = (promise) => promise.then(() => "reached", () => "refused");
            const ask = (options) => said(fetch(`${origin}/api/contents`, {credentials: "include", ...options}));
            const socket = new Promise((resolve, reject) => {
                const opened = new WebSocket(`${origin.replace("http", "ws")}/socket`);
                opened.onopen = resolve;
                opened.onerror = reject;
            });
            const image = new Promise((resolve, reject) => {
                const shown = new Image();
                shown.onload = resolve;
                shown.onerror = reject;
                shown.src = `${origin}/files/secret.png`;
            });
            await ask({mode: "no-cors"});
            await ask({method: "POST", mode: "no-cors"});
            return [await ask({}), await said(socket), await said(image)];
        }""",
        broker.origin(notebook),
    )
    assert tried == ["refused"] * 3
    assert app.requests == []
