"""`manage.py sync_catalogue files|icat|scicat …`: take over what the facility's catalogue says."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth.catalogues import icat, scicat
from auth.catalogues.base import CatalogueError, CatalogueUnavailable, Source
from auth.catalogues.diff import MassRemoval
from auth.catalogues.files import Files
from auth.catalogues.sync import sync
from auth.catalogues.wire import Account


class Command(BaseCommand):
    help = "Make proposals, experiments, people's parts and roles say what the facility's catalogue says."

    def add_arguments(self, parser: CommandParser) -> None:
        sources = parser.add_subparsers(dest="source", required=True, parser_class=type(parser))
        files = sources.add_parser("files", help="a folder of CSV or JSON tables")
        files.add_argument("--folder", type=Path, required=True)
        for name, what in (("icat", "an ICAT+ service"), ("scicat", "a SciCat service")):
            service = sources.add_parser(name, help=what)
            service.add_argument("--config", type=Path, required=True, help="a JSON file: docs/howto/catalogue.md")
        for each in sources.choices.values():
            each.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
            each.add_argument("--force", action="store_true", help="believe the catalogue even if it lost a great deal")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            source = chosen(options)
            diff = sync(source, dry_run=options["dry_run"], force=options["force"])
        except (CatalogueError, CatalogueUnavailable, MassRemoval) as error:
            raise CommandError(f"Nothing was changed.\n{error}") from error
        for note in getattr(source, "notes", []):
            self.stderr.write(note)
        self.stdout.write(str(diff))


def chosen(options: dict[str, Any]) -> Source:
    match options["source"]:
        case "icat":
            return icat.Icat(icat.load(options["config"]), account("icat"))
        case "scicat":
            return scicat.Scicat(scicat.load(options["config"]), account("scicat"))
        case _:
            return Files(options["folder"])


def account(name: str) -> Account:
    """The portal's own at that service, from the environment and from nowhere else."""
    given = settings.CATALOGUE_ACCOUNTS[name]
    if not (given["username"] and given["password"]):
        prefix = f"VISA_{name.upper()}"
        raise CatalogueError([f"{prefix}_USERNAME and {prefix}_PASSWORD must be in the environment"])
    return Account(given["username"], given["password"])
