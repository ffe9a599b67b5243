"""`manage.py stop_instances`: end everything that runs, and write down that and why."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from instances.models import Instance
from instances.reconcile.worker import reconcile
from instances.services.queue import step_out
from instances.services.transitions import advance
from instances.states import Desired, State


class Command(BaseCommand):
    help = "Stop every running instance; homes and data stay, and their owners can start them again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="The portal was shut down")

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = 0
        for instance in Instance.objects.filter(desired=Desired.RUNNING).exclude(state=State.DELETED):
            with transaction.atomic():
                # No worker runs any more: a lease that one left behind is nobody's.
                Instance.objects.filter(pk=instance.pk).update(lease=None, lease_until=None)
                instance.refresh_from_db()
                if instance.waiting_since:
                    step_out(instance, actor=None, reason=options["reason"])
                else:
                    advance(instance, State.STOPPING, actor=None, reason=options["reason"], desired=Desired.STOPPED)
            reconcile(instance.pk)
            stopped += 1
        if stopped:
            self.stdout.write(f"stopped {stopped} instance{'s' if stopped > 1 else ''}")
