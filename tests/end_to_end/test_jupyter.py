"""JupyterLab on an origin of its own: H5Web on real files, and a kernel through the broker."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.portal import Portal

from .steps import choose, jupyter, launch, open_raw_file

pytestmark = pytest.mark.usefixtures("clean")


def test_a_participant_opens_a_file_in_h5web_and_reads_it_with_h5py(
    portal: Portal, sign_in: Callable[[str], Page]
) -> None:
    page = sign_in("bruno")
    choose(page, portal, "JupyterLab")
    instance = launch(page)
    expect(page.get_by_role("button", name=re.compile("^Open JupyterLab"))).to_be_visible(timeout=60_000)
    with portal.api("bruno") as api:
        (raw,) = [
            g["path"] for g in api.get(f"/instances/{instance}/").json()["grants"] if g["path"].endswith("RAW_DATA")
        ]
    file = next(path for path in sorted((portal.data / "facility" / raw).rglob("*.h5")))
    inside = "/data/" + str(file.relative_to(portal.data / "facility"))
    with jupyter(page) as lab:
        origin = lab.url.split("/lab")[0]
        assert re.fullmatch(rf"http://[0-9a-f]{{32}}\.apps\.localhost:{portal.port + 1}", origin)
        assert not {c["name"] for c in lab.context.cookies([origin])} & {"visa_session", "visa_csrf"}
        open_raw_file(lab, file.name)
        assert kernel_says(lab, origin, f"import h5py; print('read', len(h5py.File('{inside}')), 1 + 1)").startswith(
            "read "
        )


def kernel_says(lab: Page, origin: str, code: str) -> str:
    lab.goto(f"{origin}/lab?reset")
    lab.locator(".jp-LauncherCard[title*='Python 3']").first.click()
    expect(lab.get_by_role("button", name="| Idle")).to_be_visible(timeout=60_000)
    cell = lab.locator(".jp-Notebook .cm-content").first
    cell.click()
    lab.keyboard.insert_text(code)
    expect(cell).to_contain_text("h5py")
    lab.keyboard.press("Shift+Enter")
    output = lab.locator(".jp-OutputArea-output").first
    expect(output).to_be_visible(timeout=60_000)
    return output.inner_text()
