"""The portal's own services and a real worker process, with the testbed as its only cloud."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from instances.models import Cloud, Flavour, FlavourOffer, Instance
from instances.providers.base import Provider
from instances.services.clouds import provider_for
from instances.services.launch import launch
from instances.states import State
from tests import facility
from tests.facility import Facility

from .rig import Rig

ROOT = Path(__file__).parents[2]
SCREEN = {"layout": "single", "fit": True, "screens": [{"width": 1280, "height": 800}], "keyboard": "us"}


@dataclass
class Portal:
    facility: Facility
    cloud: Cloud
    deployment: str
    log: Path

    @property
    def provider(self) -> Provider:
        return provider_for(self.cloud)

    def launch(self, environment: str = "desktop", flavour: str = "s", **fields: object) -> Instance:
        return launch(
            acting_user=self.facility.ada,
            experiments=[self.facility.running.pk],
            environment=environment,
            flavour=flavour,
            display=SCREEN,
            **fields,
        )

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        environment = os.environ | {"DATABASE_URL": address.geturl(), "VISA_DEPLOYMENT": self.deployment}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "worker"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def reaches(self, instance: Instance, state: State, seconds: float = 180) -> Instance:
        def arrived() -> bool:
            instance.refresh_from_db()
            return instance.state == state

        self.until(arrived, seconds, lambda: f"{instance.state} instead of {state}: {instance.message}")
        return instance

    def until(self, holds: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what()}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.3)


def portal(rig: Rig, folder: Path) -> Portal:
    """Its cloud has capacity, flavours and a site of its own; nothing runs yet."""
    made = facility.build()
    site = folder / "site.json"
    storage = {"path": str(settings.DATA_ROOT), "kind": "nfs", "source": "nas.example.org:/export"}
    site.write_text(json.dumps({"storage": [storage]}))
    deployment = rig.provider.configuration.deployment
    chosen = {**rig.settings(), "site": str(site)}
    chosen |= {"key": settings.INSTANCE_KEY, "portal": settings.PORTAL_URL}
    cloud = made.cloud
    cloud.name, cloud.title, cloud.kind, cloud.settings = "testbed", "The testbed", "openstack", chosen
    cloud.capacity = {}
    cloud.rate, cloud.burst, cloud.concurrency = 50, 200, 8
    cloud.save()
    Flavour.objects.filter(slug="s").update(cores=2, memory_mb=2048)
    Flavour.objects.filter(slug="gpu.a40").update(cores=4, memory_mb=8192)
    FlavourOffer.objects.filter(cloud=cloud).update(name="small")
    FlavourOffer.objects.create(cloud=cloud, flavour=made.big, name="a40")
    return Portal(made, cloud, deployment, folder / "worker.log")
