"""`make bench`: how long a person waits. Prints one line per figure, with its target on two cores.

Times are taken in a real browser against a real portal: from the click on Launch to READY and to the first picture.
Targets are for a machine that does nothing else; compare runs with each other, not with another machine's.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psycopg
from playwright.sync_api import Page

from tests.chromium import started
from tests.end_to_end.steps import PAINTED, choose, jupyter, sign_in
from tests.portal import Portal

ROUNDS = 5


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="visa-bench-") as folder, started() as browser:
        Path(folder).chmod(0o755)
        portal = Portal(Path(folder)).start()
        try:
            page = sign_in(browser, portal, "bruno")
            for environment, target in (("Desktop", 3.0), ("JupyterLab", 6.0)):
                rounds = [one_launch(portal, page, environment) for _ in range(ROUNDS + 1)][1:]
                report(f"{environment}: click to READY", [ready for ready, _ in rounds], target)
                report(f"{environment}: click to first pixel", [pixel for _, pixel in rounds], target)
            home_page(portal, page)
        finally:
            portal.stop()


def one_launch(portal: Portal, page: Page, environment: str) -> tuple[float, float]:
    """Seconds from the click on Launch to READY and to the first picture; nothing runs before or after."""
    choose(page, portal, environment)
    clicked = time.time()
    page.get_by_role("button", name="Launch", exact=True).click()
    if environment == "Desktop":
        page.wait_for_selector("html[data-connection=connected]")
        page.wait_for_function(PAINTED, polling=20)
        pixel = time.time() - clicked
    else:
        with jupyter(page):
            pixel = time.time() - clicked
    with psycopg.connect(portal.database_url) as database:
        ready = database.execute(READY).fetchone()
    assert ready
    portal.manage("stop_instances")
    return float(ready[0]) - clicked, pixel


READY = "SELECT extract(epoch FROM max(at)) FROM instances_instanceevent WHERE after = 'ready'"


def home_page(portal: Portal, page: Page) -> None:
    """p95 of the first render with 500 instances of this person, as the server sends it."""
    with psycopg.connect(portal.database_url, autocommit=True) as database:
        database.execute(MANY, [500])
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    with httpx2.Client(base_url=portal.url, cookies=cookies, trust_env=False) as client:
        times = [timed(lambda: client.get("/").raise_for_status()) for _ in range(220)][20:]
    p95 = statistics.quantiles(times, n=20)[-1]
    report("home page with 500 instances: p95", [p95], 0.1)


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def report(what: str, seconds: list[float], target: float) -> None:
    median = statistics.median(seconds)
    spread = f" (of {len(seconds)}: {min(seconds):.2f} to {max(seconds):.2f} s)" if len(seconds) > 1 else ""
    verdict = "ok" if median < target else "MISSED"
    sys.stdout.write(f"{what:<40} {median:6.3f} s  target {target:g} s  {verdict}{spread}\n")
    sys.stdout.flush()


MANY = """
INSERT INTO instances_instance (id, name, notes, owner_id, environment_id, flavour_id, cloud_id, display, grants,
  created, desired, generation, state, state_since, message, phase, observed_generation, apps_ready, failures, due)
SELECT gen_random_uuid(), 'Instance ' || n, '', i.owner_id, i.environment_id, i.flavour_id, i.cloud_id, i.display,
  i.grants, now() - n * interval '1 hour', 'stopped', 1, 'stopped', now(), '', 'stopped', 1, '[]', 0, now()
FROM generate_series(1, %s) n, (SELECT * FROM instances_instance ORDER BY created DESC LIMIT 1) i
"""

if __name__ == "__main__":
    main()
