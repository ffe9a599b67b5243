"""Keeping what a machine showed last when its instance failed, so that the page says more than that it did."""

import logging

from instances.errors import ProviderError
from instances.models import Cloud, Console, Instance
from instances.providers.base import Provider

from .calls import call

log = logging.getLogger(__name__)


def keep(instance: Instance, cloud: Cloud, provider: Provider) -> None:
    """Before anything more is done to it. A console that cannot be had is missed by nobody but the reader."""
    try:
        with call(cloud, "console", breaks=False):
            text = provider.console(instance.key)
    except ProviderError as error:
        log.info("no console of %s: %s", instance.pk, error.reason)
        return
    if text:
        kept = {"generation": instance.generation, "text": text}
        Console.objects.update_or_create(instance=instance, defaults=kept)


def forget(instance: Instance) -> None:
    Console.objects.filter(instance=instance).delete()
