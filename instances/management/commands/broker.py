"""`manage.py broker --port P [--workers N]`: carry bytes between browsers and instances."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth import checks
from instances.broker import server


class Command(BaseCommand):
    help = "Carries bytes between browsers and instances: desktops and web apps. Ends on SIGTERM."
    requires_system_checks: list[str] = []  # noqa: RUF012  as Django declares it

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--workers", type=int, default=1, choices=range(1, 65), metavar="N", help="processes")

    def handle(self, *args: Any, host: str, port: int, workers: int, **options: Any) -> None:
        try:
            checks.insist()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        server.run(host, port, workers=workers)
