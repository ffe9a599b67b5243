"""`manage.py sync_catalogue NAME`: take over what one of the facility's catalogues says."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth.catalogues import runs
from auth.catalogues.base import CatalogueError, CatalogueUnavailable
from auth.catalogues.configured import Configured, configured
from auth.catalogues.diff import MassRemoval


class Command(BaseCommand):
    help = "Make proposals, experiments, people's parts and roles say what the facility's catalogue NAME says."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="as in the file VISA_CATALOGUES: docs/howto/catalogue.md")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
        parser.add_argument("--full", action="store_true", help="read all of it, not only what is new")
        parser.add_argument(
            "--force", action="store_true", help="read all of it, and believe it even if it lost a great deal"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            catalogue = chosen(options["name"])
            asked = {"full": options["full"], "force": options["force"]}
            if options["dry_run"]:
                diff, notes = runs.rehearse(catalogue, **asked)
            else:
                row, found = runs.run(catalogue, **asked)
                if found is None:
                    raise CommandError("\n".join(["Nothing was changed.", *row.problems]))
                diff, notes = found, row.notes
        except (CatalogueError, CatalogueUnavailable, MassRemoval, runs.Busy) as error:
            raise CommandError(f"Nothing was changed.\n{error}") from error
        for note in notes:
            self.stderr.write(note)
        self.stdout.write(str(diff))


def chosen(name: str) -> Configured:
    """CatalogueError when there is none of that name, or it needs no fetching."""
    known = configured()
    if not known:
        raise CatalogueError(["no catalogue is configured: VISA_CATALOGUES must name a file that lists them"])
    if name not in known:
        raise CatalogueError([f"there is no catalogue {name!r}; there are {', '.join(known)}"])
    if known[name].pushed:
        raise CatalogueError([f"{name} sends what is new by itself, to every worker; there is nothing to fetch"])
    return known[name]
