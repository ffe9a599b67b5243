"""A cloud in the tests' own process, that does as it is told, or fails where a test says so."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from instances.providers.base import Capacity, Endpoint, Found, Observed, Provider, Report, Spec
from instances.reconcile.plan import PATIENCE
from instances.states import Phase, Progress


class ScriptedCloud(Provider):
    """Keeps instances in a dict; `before` and `after` may raise around each effect."""

    kind = "scripted"
    pace = timedelta(milliseconds=10)
    patience = PATIENCE

    def __init__(self) -> None:
        super().__init__("local", {})
        self.rows: dict[str, Observed] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.more: list[Found] = []
        """Listed beside the rows: copies, and what belongs to nobody."""
        self.removed: list[tuple[str, str]] = []
        self.shown = ""
        self.calls: list[str] = []
        self.specs: list[Spec] = []
        self.before: Callable[[str], None] = lambda call: None
        self.after: Callable[[str], None] = lambda call: None

    def _around(self, call: str, effect: Callable[[], Any]) -> Any:
        self.calls.append(call)
        self.before(call)
        result = effect()
        self.after(call)
        return result

    def capacity(self) -> Capacity:
        return Capacity(2, 8192, shared_cores=True, images=frozenset({"desktop"}))

    def ensure(self, spec: Spec, report: Report) -> Observed:
        self.specs.append(spec)
        report(Progress.CREATING, "Making it")
        running = Observed(Phase.RUNNING, spec.generation, frozenset(spec.apps))
        return self._around("ensure", lambda: self.rows.setdefault(spec.id, running))

    def observe(self, instance_id: str) -> Observed:
        return self._around("observe", lambda: self.rows.get(instance_id, Observed(Phase.ABSENT)))

    def observe_all(self) -> list[Found]:
        listed = [Found(key, observed, self.labels.get(key, {})) for key, observed in self.rows.items()]
        return self._around("observe_all", lambda: listed + self.more)

    def stop(self, instance_id: str) -> None:
        was = self.rows[instance_id]
        self._around("stop", lambda: self.rows.update({instance_id: Observed(Phase.STOPPED, was.generation)}))

    def delete(self, instance_id: str) -> None:
        self.more = [found for found in self.more if found.id != instance_id]
        self._around("delete", lambda: self.rows.pop(instance_id, None))

    def remove(self, instance_id: str, reference: str) -> None:
        self.removed.append((instance_id, reference))
        self.more = [found for found in self.more if found.observed.reference != reference]

    def console(self, instance_id: str) -> str:
        return str(self._around("console", lambda: self.shown))

    def endpoint(self, instance_id: str, app: str) -> Endpoint:
        return Endpoint(path="/nowhere")
