"""A facility to try the portal with: nine people, three instruments, six proposals, and measurements to look at."""

import contextlib
import json
from pathlib import Path

from auth.oidc.demo_provider.people import Person, read

PEOPLE = Path(__file__).with_name("people.json")
CATALOGUES = "catalogues.json"


def people() -> tuple[Person, ...]:
    """Who can sign in at the demo provider."""
    return read(PEOPLE)


def load(data_root: Path, work: Path) -> None:
    """Bring the facility into the database, and its measurements under `data_root`; what is there already stays.

    `work` keeps the rendered catalogue, so that the dates of the first day hold on every later one, and the file that
    names it (VISA_CATALOGUES): the worker reads it again and again, as it would a facility's own.
    """
    from auth.catalogues import configured, runs

    from . import measurements, render

    folder = render.catalogue(work)
    file = work / CATALOGUES
    file.write_text(json.dumps([{"name": "demo", "kind": "files", "folder": folder.name, "every": "30s"}]))
    with contextlib.suppress(runs.Busy):  # a worker of before is at it
        run, _ = runs.run(configured.read(file)["demo"])
        if run.problems:
            raise RuntimeError("\n".join(run.problems))
    measurements.generate(data_root, work)
