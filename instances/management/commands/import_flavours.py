"""`manage.py import_flavours CLOUD`: offer what the cloud has."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from instances.errors import ProviderError
from instances.models import Cloud
from instances.services.flavours import import_flavours, importable


class Command(BaseCommand):
    help = "Takes over the flavours that a cloud has, once for each hardware; new ones stay invisible."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cloud", metavar="CLOUD")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        cloud = Cloud.objects.filter(name=options["cloud"]).first()
        if not cloud:
            raise CommandError(f"There is no cloud {options['cloud']}.")
        try:
            found = importable(cloud) if options["dry_run"] else import_flavours(cloud)
        except ProviderError as error:
            raise CommandError(error.reason) from None
        for one in found:
            hardware = one.hardware
            gpu = f", {hardware.gpu_count} {hardware.gpu_model}" if hardware.gpu_count else ""
            what = "new" if one.new else "as before" if one.offered else "offered too"
            size = f"{hardware.cores:g} cores, {hardware.memory_mb} MB{gpu}"
            self.stdout.write(f"{hardware.name}: {size} → {one.flavour} ({what})")
        if not found:
            self.stdout.write("This cloud has no flavours of its own.")
