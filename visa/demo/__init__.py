"""A facility to try the portal with: nine people, three instruments, six proposals, and measurements to look at."""

from pathlib import Path

from auth.oidc.demo_provider.people import Person, read

PEOPLE = Path(__file__).with_name("people.json")


def people() -> tuple[Person, ...]:
    """Who can sign in at the demo provider."""
    return read(PEOPLE)


def load(data_root: Path, work: Path) -> None:
    """Bring the facility into the database, and its measurements under `data_root`; what is there already stays.

    `work` keeps the rendered catalogue, so that the dates of the first day hold on every later one.
    """
    from auth.catalogues.files import Files
    from auth.catalogues.sync import sync

    from . import measurements, render

    folder = render.catalogue(work)
    sync(Files(folder, name="demo"))
    measurements.generate(data_root, work)
