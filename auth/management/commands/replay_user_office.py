"""`manage.py replay_user_office NAME`: messages that could not be read are dealt with again, after a repair."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from pika.exceptions import AMQPError

from auth.catalogues.base import CatalogueError
from auth.catalogues.useroffice import broker
from auth.catalogues.useroffice.broker import Delivery, Office
from auth.catalogues.useroffice.offices import offices


class Command(BaseCommand):
    help = "Move the dead letters of a User Office back to its queue, oldest first. What is outdated changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the catalogue's name in VISA_CATALOGUES")
        parser.add_argument("--list", action="store_true", help="print them with their reasons, and move none")

    def handle(self, *args: Any, **options: Any) -> None:
        office = chosen(options["name"])
        purpose = "replay_user_office"
        try:
            with broker.connected(office, purpose=purpose) as connection:
                broker.declare(connection, office)
                if options["list"]:
                    letters = list(broker.dead_letters(connection, office))
                    for delivery, reason in letters:
                        self.stdout.write(line(delivery, reason))
                    self.stdout.write(f"{len(letters)} dead letters")
                else:
                    moved = broker.replay(connection, office)
                    self.stdout.write(f"{moved} messages are in the queue again")
        except (AMQPError, OSError) as error:
            raise CommandError(f"The message broker does not answer: {error or repr(error)}") from error


def chosen(name: str) -> Office:
    try:
        known = {office.name: office for office in offices()}
    except CatalogueError as error:
        raise CommandError(str(error)) from error
    if name not in known:
        raise CommandError(
            f"There is no User Office {name!r} in VISA_CATALOGUES; there are: {', '.join(known) or 'none'}"
        )
    return known[name]


def line(delivery: Delivery, reason: str) -> str:
    """Nothing of what the message says: it holds names and addresses."""
    return f"{delivery.headers.get(broker.SINCE, '')} {delivery.event}: {reason}".strip()
