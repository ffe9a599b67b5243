"""Security groups: one that we keep, through which only brokers reach the apps' ports, and the facility's own.

Neutron lets several groups have one name: where two processes made ours at once, the eldest is used.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from instances.errors import ProviderError
from instances.providers.base import Spec

from .configuration import Configuration
from .door import Busy, Door

KEEP = 600.0
"""Seconds until the rules are compared again."""
NOTE = "Kept by the VISA portal: changes are undone."


class Groups:
    def __init__(self, door: Door, configuration: Configuration, ports: frozenset[int]) -> None:
        self._door = door
        self._configuration = configuration
        self._ports = ports
        self._lock = threading.Lock()
        self._ours = ""
        self._seen_at = float("-inf")
        self._names: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return f"visa-{self._configuration.deployment}"

    def of(self, spec: Spec) -> list[str]:
        """The ids for a new server; none means the project's default group."""
        self.look()
        wanted = [group.name for group in self._configuration.security_groups if group.holds(spec.labels)]
        found = [self._ours] if self._ours else []
        for name in wanted:
            if name not in self._names:
                raise ProviderError(f"The cloud has no security group “{name}”.", retry=False)
            found.append(self._names[name])
        return found

    def has(self, name: str) -> bool:
        return name in self._names

    def look(self) -> None:
        """See that our group is there and as it should be, and which others there are."""
        if not self._configuration.broker_addresses and not self._configuration.security_groups:
            return
        with self._lock:
            if time.monotonic() - self._seen_at < KEEP:
                return
            groups = self._list()
            self._names = {one["name"]: one["id"] for one in groups} | {one["id"]: one["id"] for one in groups}
            if self._configuration.broker_addresses:
                self._ours = self._keep([one for one in groups if one["name"] == self.name])
            self._seen_at = time.monotonic()

    def _list(self) -> list[dict[str, Any]]:
        project = self._door.project()
        pages = self._door.pages("network", "/security-groups", "security_groups", project_id=project)
        return [one for page in pages for one in page]

    def _keep(self, ours: list[dict[str, Any]]) -> str:
        """Make the group where it lacks, and its rules what the settings say."""
        if not ours:
            body = {"security_group": {"name": self.name, "description": NOTE}}
            self._door.post("network", "/security-groups", body)
            ours = [one for one in self._list() if one["name"] == self.name]
        group = min(ours, key=lambda one: (one["created_at"], one["id"]))
        wanted = {(port, address) for port in self._ports for address in self._configuration.broker_addresses}
        for rule in group["security_group_rules"]:
            if rule["direction"] == "ingress":
                meant = (rule["port_range_min"], rule["remote_ip_prefix"])
                if meant in wanted and rule["protocol"] == "tcp" and rule["port_range_max"] == meant[0]:
                    wanted.remove(meant)
                else:
                    self._door.delete("network", f"/security-group-rules/{rule['id']}")
        for port, address in sorted(wanted):
            self._allow(group["id"], port, address)
        return str(group["id"])

    def _allow(self, group: str, port: int, address: str) -> None:
        rule = {
            "security_group_id": group,
            "direction": "ingress",
            "ethertype": "IPv6" if ":" in address else "IPv4",
            "protocol": "tcp",
            "port_range_min": port,
            "port_range_max": port,
            "remote_ip_prefix": address,
        }
        with suppress(Busy):  # another process was quicker
            self._door.post("network", "/security-group-rules", {"security_group_rule": rule})
