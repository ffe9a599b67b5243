"""A server as the portal keeps it in nova: what is written with its creation, and what is read back. Pure.

Tags find it (`GET /servers?tags=…`), metadata describes it. Both are part of the request that makes it, so that there
is never a server of ours that does not say whose it is.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from instances.providers.base import Spec

LONGEST = 255
"""Characters of one value of nova's metadata."""
PREFIX = "visa."


@dataclass(frozen=True, slots=True)
class Server:
    """What nova says of one server."""

    id: str
    name: str
    status: str
    task: str
    power: int
    created: str
    updated: str
    launched: bool
    """It has run once."""
    flavour: Mapping[str, Any]
    metadata: Mapping[str, str]
    addresses: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    fault: str = ""
    image: str = ""
    """Empty where it boots from a volume."""

    @property
    def instance(self) -> str:
        return self.metadata.get(f"{PREFIX}instance", "")

    @property
    def deployment(self) -> str:
        return self.metadata.get(f"{PREFIX}deployment", "")

    @property
    def generation(self) -> int:
        return int(self.metadata.get(f"{PREFIX}generation", "0"))

    @property
    def attempt(self) -> int:
        return int(self.metadata.get(f"{PREFIX}attempt", "1"))

    @property
    def beyond_repair(self) -> bool:
        """It has never run and never will: only another server helps."""
        return self.status == "ERROR" and not self.launched

    @property
    def firstboot(self) -> str:
        return self.metadata.get(f"{PREFIX}firstboot", "")

    @property
    def apps(self) -> tuple[str, ...]:
        return tuple(filter(None, self.metadata.get(f"{PREFIX}apps", "").split(",")))

    @property
    def gpus(self) -> tuple[str, int]:
        model, _, count = self.metadata.get(f"{PREFIX}gpu", "").rpartition(":")
        return model, int(count or 0)

    @property
    def labels(self) -> dict[str, str]:
        return {name: _joined(self.metadata, f"{PREFIX}label.{name}") for name in self._label_names()}

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.created)

    def _label_names(self) -> Iterator[str]:
        start = f"{PREFIX}label."
        yield from sorted({key[len(start) :].partition(":")[0] for key in self.metadata if key.startswith(start)})

    def address(self, network: str = "") -> str:
        """Its IPv4 address in `network`, or in the first that it has."""
        networks = [self.addresses[network]] if network in self.addresses else list(self.addresses.values())
        found = [one["addr"] for addresses in networks for one in addresses if one.get("version") == 4]
        return found[0] if found else ""


def server(answer: Mapping[str, Any]) -> Server:
    """From nova's JSON, microversion 2.79."""
    return Server(
        id=answer["id"],
        name=answer.get("name", ""),
        status=answer.get("status", "UNKNOWN"),
        task=answer.get("OS-EXT-STS:task_state") or "",
        power=answer.get("OS-EXT-STS:power_state") or 0,
        created=answer.get("created", ""),
        updated=answer.get("updated", ""),
        launched=bool(answer.get("OS-SRV-USG:launched_at")),
        flavour=answer.get("flavor", {}),
        metadata=answer.get("metadata", {}),
        addresses=answer.get("addresses", {}),
        fault=answer.get("fault", {}).get("message", ""),
        image=(answer.get("image") or {}).get("id", ""),
    )


def tags(deployment: str, instance_id: str = "") -> list[str]:
    """Nova's tags have 60 characters at most, and neither commas nor slashes."""
    name = deployment
    if len(name) > 40 or set(name) & set(",/"):
        name = hashlib.sha256(name.encode()).hexdigest()[:40]
    return [f"visa-deployment={name}", *([f"visa-instance={instance_id}"] if instance_id else [])]


def metadata(spec: Spec, *, firstboot: str, attempt: int = 1) -> dict[str, str]:
    """Of a new server. `firstboot` differs where another first boot would do something else."""
    ours = {
        "deployment": spec.deployment,
        "instance": spec.id,
        "generation": str(spec.generation),
        "attempt": str(attempt),
        "firstboot": firstboot,
        "apps": ",".join(spec.apps),
        "gpu": f"{spec.gpu_model}:{spec.gpu_count}" if spec.gpu_count else "",
    }
    written = {f"{PREFIX}{name}": value for name, value in ours.items()}
    for name, value in spec.labels.items():
        written |= _split(f"{PREFIX}label.{name}", value)
    return written


def _split(key: str, value: str) -> dict[str, str]:
    """A value longer than nova takes goes on under `key:1`, `key:2` …"""
    parts = [value[start : start + LONGEST] for start in range(0, len(value), LONGEST)] or [""]
    return {f"{key}:{number}" if number else key: part for number, part in enumerate(parts)}


def _joined(written: Mapping[str, str], key: str) -> str:
    parts, number = [written.get(key, "")], 1
    while (part := written.get(f"{key}:{number}")) is not None:
        parts.append(part)
        number += 1
    return "".join(parts)
