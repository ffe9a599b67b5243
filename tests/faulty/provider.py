"""The provider of the faulty cloud, as careful as a good one has to be: with the cloud it shares the wire alone."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import httpx2

from instances.errors import ProviderError
from instances.providers.base import Capacity, Endpoint, Found, Observed, Provider, Report, Spec
from instances.states import Phase, Progress

PHASES = {
    "starting": Phase.STARTING,
    "running": Phase.RUNNING,
    "stopping": Phase.STOPPED,
    "stopped": Phase.STOPPED,
    "deleting": Phase.STOPPED,
    "error": Phase.FAILED,
}
ENDING = timedelta(seconds=8)
"""What a server may take to stop or to go, before it is called an error."""
Row = dict[str, Any]


class FaultyProvider(Provider):
    """Settings: `url`, `patience` (seconds until an answer is given up), `deployment`."""

    kind = "faulty"
    tick = timedelta(seconds=1)
    pace = timedelta(milliseconds=500)
    patience = timedelta(minutes=1)

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        super().__init__(name, settings)
        self.deployment = settings.get("deployment", "")
        self.seconds = 0.0
        """Processor time spent on the wire, about."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.settings)

    @cached_property
    def _client(self) -> httpx2.Client:
        limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        patience = float(self.settings.get("patience", "1"))
        return httpx2.Client(base_url=self.settings["url"], timeout=patience, limits=limits, trust_env=False)

    def capacity(self) -> Capacity:
        told = self._ask("GET", "/capacity")
        return Capacity(told["cores"], told["memory_mb"], shared_cores=True, images=frozenset(told["images"]))

    def ensure(self, spec: Spec, report: Report) -> Observed:
        there = [row for row in self._find(spec.id) if row["status"] != "deleting"]
        if not there:
            return self._create(spec, report)
        oldest = there[0]
        if oldest["generation"] >= spec.generation:
            return _observed(oldest)
        report(Progress.MOUNTING, "Making it anew")
        self._ask("POST", f"/servers/{oldest['reference']}/rebuild", wanted(spec, self.deployment))
        report(Progress.STARTING, "Starting it")
        return self.observe(spec.id)

    def _create(self, spec: Spec, report: Report) -> Observed:
        """Whoever finds an older one beside its own takes its own back: of those who came at once, one remains."""
        report(Progress.CREATING, "Making a server")
        report(Progress.MOUNTING, "Your home and the data")
        mine = self._ask("POST", "/servers", wanted(spec, self.deployment))
        oldest = next((row for row in self._find(spec.id) if row["status"] != "deleting"), mine)
        if oldest["reference"] != mine["reference"]:
            self.remove(spec.id, mine["reference"])
        else:
            report(Progress.STARTING, "Starting it")
        return _observed(oldest)

    def observe(self, instance_id: str) -> Observed:
        found = self._find(instance_id)
        staying = [row for row in found if row["status"] != "deleting"]
        return _observed((staying or found)[0]) if found else Observed(Phase.ABSENT)

    def observe_all(self) -> Sequence[Found]:
        rows = self._ask("GET", f"/servers?deployment={self.deployment}")
        return [
            Found(row["instance"], _observed(row), row["labels"], datetime.fromtimestamp(row["created"], UTC))
            for row in rows
        ]

    def stop(self, instance_id: str) -> None:
        def running() -> list[Row]:
            return [row for row in self._find(instance_id) if row["status"] not in ("stopped", "deleting")]

        for row in running():
            if row["status"] != "stopping":
                self._ask("POST", f"/servers/{row['reference']}/stop", {})
        self._until_none(running, "It does not stop.")

    def delete(self, instance_id: str) -> None:
        for row in self._find(instance_id):
            self._ask("DELETE", f"/servers/{row['reference']}")
        self._until_none(lambda: self._find(instance_id), "It does not go.")

    def remove(self, instance_id: str, reference: str) -> None:
        self._ask("DELETE", f"/servers/{reference}")
        self._until_none(
            lambda: [row for row in self._find(instance_id) if row["reference"] == reference], "It does not go."
        )

    def endpoint(self, instance_id: str, app: str) -> Endpoint:
        row = next((row for row in self._find(instance_id) if row["status"] == "running"), None)
        if row is None or app not in row["apps"]:
            raise ProviderError(f"There is no {app} in this instance.", retry=False)
        return Endpoint(host="127.0.0.1", port=9, secret=row["secret"])

    def _find(self, instance_id: str) -> list[Row]:
        """All copies of it, the oldest first."""
        rows = self._ask("GET", f"/servers?deployment={self.deployment}&instance={instance_id}")
        return sorted(rows, key=lambda row: (row["created"], row["reference"]))

    def _until_none(self, left: Any, complaint: str) -> None:
        until = time.monotonic() + ENDING.total_seconds()
        while left():
            if time.monotonic() > until:
                raise ProviderError(complaint, retry=True)
            time.sleep(0.1)

    def _ask(self, method: str, path: str, body: Row | None = None) -> Any:
        """What it answers; None where there is nothing of that name (any more)."""
        begun = time.thread_time()
        try:
            answer = self._client.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise ProviderError(f"The cloud gave no answer ({type(error).__name__}).", retry=True) from error
        finally:
            self.seconds += time.thread_time() - begun
        if answer.status_code == 404 and method != "GET":
            return None
        if answer.status_code == 400:
            raise ProviderError(answer.json()["error"], retry=False)
        if not answer.is_success:
            raise ProviderError(f"The cloud answered with {answer.status_code}.", retry=True)
        return answer.json()


def wanted(spec: Spec, deployment: str) -> Row:
    return {
        "deployment": deployment,
        "instance": spec.id,
        "name": spec.name,
        "image": spec.image,
        "apps": list(spec.apps),
        "generation": spec.generation,
        "labels": dict(spec.labels),
    }


def _observed(row: Row) -> Observed:
    phase = PHASES.get(row["status"], Phase.UNKNOWN)
    apps = frozenset(row["apps"]) if phase is Phase.RUNNING else frozenset()
    return Observed(phase, row["generation"], apps, reference=row["reference"])
