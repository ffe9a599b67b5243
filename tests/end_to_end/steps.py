"""What people do in the portal, as a browser does it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from tests.portal import Portal

PEOPLE = {
    "alice": "Alice Moreau",
    "bruno": "Bruno Keller",
    "chiara": "Chiara Conti",
    "hugo": "Hugo Novák",
    "ines": "Inês Carvalho",
}
"""By login; what each may see stands in visa/demo/catalogue."""
LAUNCHING = ("alice", "bruno", "chiara")
"""Those of them who take part in something, and so launch."""


def sign_in(browser: Browser, portal: Portal, person: str, width: int = 1600, height: int = 900) -> Page:
    """A page of a fresh browser in which the person with this login has signed in."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(portal.url)
    page.get_by_role("link", name="Sign in with").first.click()
    page.get_by_role("button", name=PEOPLE[person]).click()
    page.wait_for_url(re.compile(f"^{portal.url}/(?!sign-in)"))
    return page


def choose(page: Page, portal: Portal, environment: str, *, screens: int = 1, proposal: str = "") -> None:
    """Fill in the launch page; with no proposal, for the experiment that is running now."""
    page.goto(f"{portal.url}/new/")
    row = page.locator("#experiments li").filter(has_text=proposal or "running now").first
    row.get_by_role("checkbox").check()
    page.get_by_label(environment, exact=False).first.check(force=True)
    page.locator("#flavour-local\\.half").check(force=True)
    if environment == "Desktop":
        page.locator(f"input[name=layout][value={'dual' if screens == 2 else 'single'}]").check(force=True)


def launch(page: Page) -> str:
    """Press Launch; the id of the new instance."""
    page.get_by_role("button", name="Launch", exact=True).click()
    page.wait_for_url(re.compile("/instances/[0-9a-f-]{36}/"))
    found = re.search("/instances/([0-9a-f-]{36})/", page.url)
    assert found
    return found[1]


def desktop_is_there(page: Page, *, screens: int = 1) -> None:
    page.wait_for_selector("html[data-connection=connected]")
    page.wait_for_selector(f"html[data-screens='{screens}']")
    page.wait_for_function(PAINTED)


def type_into_terminal(page: Page, *lines: str, x: int = 700) -> None:
    """Open a terminal with Ctrl-Alt-T, on the screen that has `x`, and type into it."""
    page.locator("canvas").first.click(position={"x": x, "y": 500})
    still(page)
    with changed(page):
        page.keyboard.press("Control+Alt+t")
    page.wait_for_timeout(1000)
    for line in lines:
        page.keyboard.type(line, delay=15)
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)


@contextmanager
def changed(page: Page) -> Iterator[None]:
    """Returns when the desktop's picture has become another one and stays so for a moment."""
    before = page.evaluate(PICTURE)
    yield
    page.wait_for_function(f"before => ({PICTURE})() !== before", arg=before)
    still(page)


def still(page: Page) -> None:
    """Waits until the picture stays the same for a second."""
    for _ in range(30):
        seen = page.evaluate(PICTURE)
        page.wait_for_timeout(1000)
        if page.evaluate(PICTURE) == seen:
            return


@contextmanager
def jupyter(page: Page) -> Iterator[Page]:
    """JupyterLab in a tab of its own, entered with the button of the page."""
    with page.context.expect_page() as opened:
        page.get_by_role("button", name=re.compile("^Open")).first.click()
    lab = opened.value
    expect(lab.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
    yield lab
    lab.close()


def open_raw_file(lab: Page, name: str | re.Pattern[str]) -> None:
    """In H5Web, through the file browser: the folder of the raw data, then the file."""
    lab.locator(".jp-BreadCrumbs-home").click()
    lab.locator(".jp-DirListing-item", has_text=re.compile("raw", re.I)).dblclick()
    lab.locator(".jp-DirListing-item", has_text=name).dblclick()
    viewer = lab.locator(".h5web-root, [class*=h5web]").first
    expect(viewer).to_be_visible(timeout=60_000)
    expect(lab.get_by_role("treeitem", name=re.compile("entry|instrument|data")).first).to_be_visible()


PICTURE = """() => {
    const canvas = document.querySelector('#screen canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 97) sum = (sum * 31 + data[i]) % 1000000007;
    return sum;
}"""
PAINTED = """() => {
    const canvas = document.querySelector('canvas');
    if (!canvas || !canvas.width) return false;
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4000) if (data[i] | data[i + 1] | data[i + 2]) return true;
    return false;
}"""
