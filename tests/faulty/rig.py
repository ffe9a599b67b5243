"""The faulty cloud without faults, as the provider contract wants it."""

import time
import uuid
from dataclasses import dataclass, field

from instances.providers.base import Account, Observed, Spec
from instances.states import Phase, Progress

from .provider import FaultyProvider


@dataclass
class Rig:
    provider: FaultyProvider
    reports: list[tuple[Progress, str]] = field(default_factory=list)

    def spec(self, image: str = "desktop") -> Spec:
        return Spec(
            id=uuid.uuid4().hex,
            deployment=self.provider.deployment,
            generation=1,
            name="Test",
            owner=Account("alice", "Alice", 24001, 24001),
            image=image,
            apps=(image,),
            cores=2,
            memory_mb=2048,
        )

    def ensure(self, spec: Spec) -> Observed:
        return self.provider.ensure(spec, lambda step, line: self.reports.append((step, line)))

    def run(self, spec: Spec) -> Spec:
        self.ensure(spec)
        assert self.wait(spec.id, Phase.RUNNING).generation == spec.generation
        return spec

    def wait(self, instance_id: str, phase: Phase, seconds: float = 10) -> Observed:
        until = time.monotonic() + seconds
        while (observed := self.provider.observe(instance_id)).phase is not phase:
            assert time.monotonic() < until, f"{observed} instead of {phase}"
            time.sleep(0.02)
        return observed
