"""`manage.py create_token USER`: print a bearer token for the API, once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from auth.models import User
from auth.services import create_token


class Command(BaseCommand):
    help = "Print a new API token for a person. It is shown once and kept as a hash."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the person's login, for example ada")
        parser.add_argument("--name", default="command line")
        parser.add_argument("--days", type=int, default=30, help="how long it works (default 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active person with the login {options['user']}.")
        expires = timezone.now() + timedelta(days=options["days"])
        _, secret = create_token(acting_user=user, name=options["name"], expires=expires)
        self.stdout.write(secret)
