"""The faulty cloud as a process of its own, and the tests' hand on it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx2

from .faults import Fault, Storm

ROOT = Path(__file__).resolve().parents[2]


class FaultyCloud:
    """Runs while it is entered. `delay`: seconds that starts, stops and deletions take at most; `patience`: that its
    clients wait for an answer."""

    def __init__(self, seed: int = 0, *, delay: float = 0.0, patience: float = 1.0) -> None:
        self._options = ["--seed", str(seed), "--delay", str(delay), "--patience", str(patience)]
        self._patience = patience

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.faulty.service", *self._options]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout
        port = json.loads(self._process.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.communicate(timeout=10)

    @property
    def settings(self) -> dict[str, str]:
        """For a row of Cloud of the kind "faulty"."""
        return {"url": self.url, "patience": str(self._patience)}

    def has_faults(self, shares: dict[Fault, float]) -> None:
        self._put({"shares": shares})

    def storms(self, storm: Storm) -> None:
        self._put({"storm": storm})

    def counts_anew(self) -> None:
        self._put({"reset": True})

    def recovers(self) -> None:
        """From now on it does what it is told; what it still owes (`late`) comes nevertheless."""
        self._put({"shares": {}, "storm": Storm.NONE})

    def servers(self) -> list[dict[str, Any]]:
        """The truth: every server there is, of any deployment."""
        return list(self._client.get("/control/servers").raise_for_status().json())

    def told(self, instance: str = "") -> dict[str, Any]:
        """`calls` and `faults` by kind, `late`: how many effects are still to come, `history` of one instance."""
        return dict(self._client.get("/control", params={"instance": instance}).raise_for_status().json())

    def holds(self, wanted: list[dict[str, Any]]) -> list[str]:
        """Servers that nobody asked for through the API; their references."""
        return list(self._client.post("/control/servers", json=wanted).raise_for_status().json())

    def changes(self, statuses: dict[str, str]) -> None:
        """By instance: what its servers become, though nobody asked for it."""
        self._client.post("/control/changes", json=statuses).raise_for_status()

    def _put(self, said: dict[str, Any]) -> None:
        self._client.put("/control", json=said).raise_for_status()
