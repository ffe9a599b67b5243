"""`manage.py sync_catalogue files --folder DIR`: take over what the facility's catalogue says."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth.catalogues.base import CatalogueError, CatalogueUnavailable
from auth.catalogues.diff import MassRemoval
from auth.catalogues.files import Files
from auth.catalogues.sync import sync


class Command(BaseCommand):
    help = "Make proposals, experiments, people's parts and roles say what the facility's catalogue says."

    def add_arguments(self, parser: CommandParser) -> None:
        sources = parser.add_subparsers(dest="source", required=True, parser_class=type(parser))
        files = sources.add_parser("files", help="a folder of CSV or JSON tables")
        files.add_argument("--folder", type=Path, required=True)
        files.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
        files.add_argument("--force", action="store_true", help="believe the catalogue even if it lost a great deal")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            diff = sync(Files(options["folder"]), dry_run=options["dry_run"], force=options["force"])
        except (CatalogueError, CatalogueUnavailable, MassRemoval) as error:
            raise CommandError(f"Nothing was changed.\n{error}") from error
        self.stdout.write(str(diff))
