"""`manage.py check_cloud CLOUD`: what a cloud lacks before instances can be started in it. 0: nothing."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from instances.errors import ProviderError
from instances.models import Cloud, Environment
from instances.providers.base import Account, Spec
from instances.services.clouds import provider_for


class Command(BaseCommand):
    help = "Looks at credentials, images, flavours, networks, quotas, security groups and the clock of a cloud."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cloud", metavar="CLOUD")

    def handle(self, *args: Any, **options: Any) -> None:
        cloud = Cloud.objects.filter(name=options["cloud"]).first()
        if not cloud:
            raise CommandError(f"There is no cloud {options['cloud']}.")
        wrong = 0
        try:
            for finding in provider_for(cloud).check(specs(cloud)):
                mark = "ok  " if finding.ok else "FAIL"
                self.stdout.write(f"{mark} {finding.what}: {finding.said}")
                if finding.fix:
                    wrong += 1
                    self.stdout.write(f"     {finding.fix}")
        except ProviderError as error:
            raise CommandError(error.reason) from None
        if wrong:
            sys.exit(1)


def specs(cloud: Cloud) -> list[Spec]:
    """One for each visible environment with each visible flavour that the cloud offers. Nothing is started."""
    offers = list(cloud.offers.filter(flavour__visible=True).select_related("flavour"))
    return [
        Spec(
            id="0" * 32,
            deployment=settings.DEPLOYMENT,
            generation=1,
            name="check",
            owner=Account("nobody", "Nobody", 0, 0),
            image=environment.image,
            apps=tuple(environment.apps),
            cores=offer.flavour.cores,
            memory_mb=offer.flavour.memory_mb,
            gpu_model=offer.flavour.gpu_model,
            gpu_count=offer.flavour.gpu_count,
            flavour=offer.name,
            labels={"environment": environment.slug, "flavour": offer.flavour.slug},
        )
        for environment in Environment.objects.filter(visible=True)
        for offer in offers
    ]
