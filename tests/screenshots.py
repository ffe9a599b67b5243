"""`make screenshots`: the pictures of the README, taken from a real portal."""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.chromium import started
from tests.end_to_end.steps import (
    choose,
    desktop_is_there,
    jupyter,
    launch,
    open_raw_file,
    sign_in,
    type_into_terminal,
)
from tests.portal import Portal, until

IMAGES = Path(__file__).resolve().parent.parent / "docs/images"


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="visa-pictures-") as folder, started() as browser:
        Path(folder).chmod(0o755)
        portal = Portal(Path(folder)).start()
        try:
            visitor = browser.new_page(viewport={"width": 1440, "height": 900})
            visitor.goto(portal.url)
            take(visitor, "sign-in")
            page = sign_in(browser, portal, "bruno", width=1440, height=960)
            take(page, "empty")
            choose(page, portal, "Desktop", screens=2)
            page.evaluate("scrollTo(0, 0)")
            take(page, "launch", full_page=True)
            page.set_viewport_size({"width": 2400, "height": 800})
            instance = launch(page)
            take(page, "progress")
            desktop_is_there(page, screens=2)
            page.wait_for_timeout(2000)
            type_into_terminal(page, "clear; ls -l /data/visitor/*/*/*/*", x=1800)
            page.locator("canvas").first.dblclick(
                position={"x": 70, "y": 490}, delay=60
            )  # the raw data, on the desktop
            page.mouse.move(900, 600)
            page.wait_for_timeout(4000)
            take(page, "desktop-dual")
            page.set_viewport_size({"width": 1440, "height": 960})
            choose(page, portal, "JupyterLab")
            other = launch(page)
            expect(page.get_by_role("button", name=re.compile("^Open JupyterLab"))).to_be_visible(timeout=60_000)
            with jupyter(page) as lab:
                lab.set_viewport_size({"width": 1440, "height": 900})
                open_raw_file(lab, re.compile("rings"))
                lab.wait_for_timeout(4000)
                take(lab, "h5web")
            with portal.api("bruno") as api:
                until(lambda: api.get(f"/instances/{other}/").json()["state"] == "ready", what="JupyterLab")
            page.goto(portal.url)
            page.wait_for_timeout(3000)
            take(page, "home")
            page.emulate_media(color_scheme="dark")
            take(page, "home-dark")
            page.emulate_media(color_scheme="light")
            page.goto(f"{portal.url}/instances/{instance}/")
            take(page, "instance", full_page=True)
            page.goto(f"{portal.url}/experiments/")
            take(page, "experiments")
            page.get_by_role("link", name="HC-5187").first.click()
            page.get_by_role("link", name="Why?").first.click()
            page.wait_for_url("**/why/")
            take(page, "why", full_page=True)
            auditor = sign_in(browser, portal, "hugo", width=1440, height=960)
            auditor.goto(f"{portal.url}/administration/audit/")
            take(auditor, "audit")
        finally:
            portal.stop()


def take(page: Page, name: str, *, full_page: bool = False) -> None:
    page.screenshot(path=str(IMAGES / f"{name}.png"), full_page=full_page, animations="disabled")


if __name__ == "__main__":
    main()
