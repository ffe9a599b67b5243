"""`manage.py prepare`: everything that must be there before the processes start; a second time it finds it done."""

import hashlib
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from visa.machine import catalogue


class Command(BaseCommand):
    requires_system_checks = ()  # `up` has made them, and the demo's catalogue is there only after this
    help = "Migrate, collect static files, load what a one-machine portal offers, and with --demo the demo facility."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        self._static()
        catalogue.load()
        if options["demo"]:
            from visa import demo  # h5py and its friends are needed for nothing else

            demo.load(settings.DATA_ROOT, settings.DATA / "demo")

    def _static(self) -> None:
        """Collected only when a source changed: comparing names, sizes and times takes milliseconds."""
        digest = hashlib.sha256()
        folders = [folder for _, folder in settings.STATICFILES_DIRS]
        folders += [settings.ROOT / app / "static" for app in ("auth", "instances", "visa")]
        for folder in folders:
            for file in sorted(folder.rglob("*")):
                stat = file.stat()
                digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        stamp = settings.STATIC_ROOT / ".stamp"
        if not stamp.exists() or stamp.read_text() != digest.hexdigest():
            call_command("collectstatic", interactive=False, verbosity=0, clear=True)
            stamp.write_text(digest.hexdigest())
