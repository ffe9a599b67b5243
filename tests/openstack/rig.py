"""An OpenStack provider for the contract suite: a deployment of its own in the testbed's project."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from instances.errors import ProviderError
from instances.providers.base import Account, Observed, Spec
from instances.providers.openstack.provider import OpenStackProvider
from instances.states import Phase, Progress

from .guests import Guests
from .testbed.testbed import Testbed

PATIENCE = 120.0
"""Seconds, on a machine that does much else."""


@dataclass
class Rig:
    testbed: Testbed
    guests: Guests
    provider: OpenStackProvider
    reports: list[tuple[Progress, str]] = field(default_factory=list)

    def spec(self, image: str = "desktop", **fields: object) -> Spec:
        spec = Spec(
            id=uuid.uuid4().hex,
            deployment=self.provider.configuration.deployment,
            generation=1,
            name="Test",
            owner=Account("alice", "Alice", 24001, 24001, (34001,)),
            image=image,
            apps=(image,),
            cores=2,
            memory_mb=2048,
            flavour="small",
        )
        return replace(spec, **fields)  # type: ignore[arg-type]

    def ensure(self, spec: Spec) -> Observed:
        return self.provider.ensure(spec, lambda step, line: self.reports.append((step, line)))

    def run(self, spec: Spec) -> Spec:
        """Ensure it, again where the cloud takes long, as a worker would; and wait until it runs."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.ensure(spec)
                break
            except ProviderError as error:
                if not error.retry or time.monotonic() > until:
                    raise
        observed = self.wait(spec.id, Phase.RUNNING)
        assert observed.generation == spec.generation
        return spec

    def wait(self, instance_id: str, phase: Phase) -> Observed:
        until = time.monotonic() + PATIENCE
        while (observed := self.provider.observe(instance_id)).phase is not phase:
            assert time.monotonic() < until, f"{observed} instead of {phase}"
            time.sleep(0.2)
        return observed

    def settings(self, **more: object) -> dict[str, object]:
        """Of another provider of the same deployment."""
        return {**self.provider.settings, **more}


@contextmanager
def rig(testbed: Testbed, guests: Guests, **settings: object) -> Iterator[Rig]:
    """What it made is deleted with it."""
    chosen = {
        "deployment": f"tests-{uuid.uuid4().hex[:8]}",
        "key": "tests",
        "portal": "https://portal.example.org",
        "clouds_file": str(testbed.clouds_file),
        "cloud": "testbed",
        "placement_cloud": "testbed-admin",
        "networks": ["visa"],
        "gpus": {"A40": "VGPU", "A16": 8},
    }
    made = Rig(testbed, guests, OpenStackProvider("testbed", chosen | settings))
    try:
        yield made
    finally:
        for found in made.provider.observe_all():
            made.provider.delete(found.id)
