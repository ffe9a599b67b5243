"""`manage.py create_token USER`: print a bearer token for the API, once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from auth.models import ApiToken, User
from auth.scopes import EVERYDAY, Scope
from auth.services.tokens import TokenRefused, create_token, usual_days


class Command(BaseCommand):
    help = "Print a new API token for a person. It is shown once and kept as a hash."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the person's login, for example ada")
        parser.add_argument("--name", default="", help="what the person sees it as (default: command line, counted)")
        parser.add_argument(
            "--scope",
            action="append",
            choices=[scope.value for scope in Scope],
            help="what it may be used for; give it once for each (default: all that are not for staff)",
        )
        parser.add_argument("--days", type=int, default=usual_days(), help="how long it works (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active person with the login {options['user']}.")
        try:
            _, secret = create_token(
                acting_user=user,
                name=options["name"] or _free_name(user),
                scopes=[Scope(name) for name in options["scope"] or EVERYDAY],
                expires=timezone.now() + timedelta(days=options["days"]),
                because="made on the portal's command line",
            )
        except (TokenRefused, OverflowError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(secret)


def _free_name(user: User) -> str:
    taken = ApiToken.objects.live(timezone.now()).filter(user__in=user.as_actor().accounts)
    used = {name.casefold() for name in taken.values_list("name", flat=True)}
    candidates = (f"command line{f' {n}' if n > 1 else ''}" for n in range(1, len(used) + 2))
    return next(name for name in candidates if name not in used)
