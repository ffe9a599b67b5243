"""Instances as servers of an OpenStack project that others may use too.

Nothing is kept here but what nova says: a server carries the deployment, the instance's id and its generation in its
metadata and tags from the request on that makes it, so that whoever dies, the next one adopts it.
"""

import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from instances.errors import ProviderError
from instances.providers.base import (
    Capacity,
    Endpoint,
    Finding,
    Found,
    Hardware,
    Observed,
    Provider,
    Report,
    Spec,
)
from instances.providers.console import readable
from instances.providers.secrets import Secrets, derived
from instances.states import Phase, Progress

from . import capacity, changes, check, offers, servers, statuses, userdata
from .answers import Answers
from .catalogue import Catalogue
from .configuration import Configuration
from .door import Door, Missing
from .groups import Groups
from .mirror import Mirror
from .servers import Server
from .site import PORTS, Site, SiteError, read

LIST_AGE = 30.0
"""Seconds: how old the list may be when free places are counted, and when a search by tags found nothing."""
ENDPOINT_KEEP = 10.0
"""Seconds. A page of JupyterLab asks for its address a hundred times."""


class OpenStackProvider(Provider):
    """Settings: see `configuration.Configuration` and docs/howto/openstack.md."""

    kind = "openstack"
    tick = timedelta(seconds=10)
    pace = timedelta(seconds=60)
    phones_home = True

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__(name, settings)
        self.configuration = Configuration.of(settings)
        self.door = Door(self.configuration)
        self.mirror = Mirror(self.door, page=self.configuration.page)
        self.catalogue = Catalogue(self.door, self.configuration)
        self._answers = Answers()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._locks_lock = threading.Lock()
        self._endpoints: dict[str, tuple[float, Server]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it has a connection and a mirror of its own."""
        return type(self), (self.name, self.settings)

    def capacity(self) -> Capacity:
        images = self.catalogue.startable()
        ours = self._ours(age=LIST_AGE)
        return capacity.capacity(self.configuration, self.door, self._placement, ours, images)

    def ensure(self, spec: Spec, report: Report) -> Observed:
        with self._lock(spec.id):
            copies = self._copies(spec.id) or self._listed(spec.id)
            server, attempt = (copies[0] if copies else None), 1
            if server and statuses.lost_race(server):
                attempt = server.attempt + 1
            if server and (attempt > 1 or (server.beyond_repair and server.generation < spec.generation)):
                self._remove(server)
                server = None
            if server is None:
                server = self._create(spec, report, attempt)
            elif server.generation < spec.generation:
                server = self._bring(server, spec, report)
            return self._observed(server)

    def observe(self, instance_id: str) -> Observed:
        copies = self._copies(instance_id) or self._listed(instance_id)
        return self._observed(copies[0]) if copies else Observed(Phase.ABSENT)

    def observe_all(self) -> Sequence[Found]:
        ours = self._ours()
        answering = self._answers.of([self._asked(server) for server in ours if statuses.runs(server)])
        return [
            Found(
                server.instance,
                self._judged(server, answering.get(server.id, frozenset())),
                server.labels,
                server.created_at,
            )
            for server in ours
        ]

    def stop(self, instance_id: str) -> None:
        with self._lock(instance_id):
            for server in self._copies(instance_id):
                changes.stop(self.door, server, shelve=self.configuration.stop == "shelve")

    def delete(self, instance_id: str) -> None:
        with self._lock(instance_id):
            for server in self._copies(instance_id) or self._listed(instance_id):
                self._remove(server)

    def remove(self, instance_id: str, reference: str) -> None:
        with suppress(Missing):
            server = self._server(reference)
            if server.instance != instance_id or server.deployment != self.configuration.deployment:
                raise ProviderError(f"The server {reference} is not of this instance.", retry=False)
            self._remove(server)

    def check(self, specs: Sequence[Spec]) -> Iterable[Finding]:
        return check.check(self.configuration, self.door, self._placement, self.catalogue, self.groups, specs)

    def hardware(self) -> Sequence[Hardware]:
        return [offers.hardware(one, self.configuration.gpus) for one in self.catalogue.flavours(0)]

    def console(self, instance_id: str) -> str:
        copies = self._copies(instance_id)
        if not copies:
            return ""
        own = derived(self.configuration.key, instance_id, copies[0].generation)
        return readable(changes.console(self.door, copies[0].id), (own.desktop, own.jupyter, own.boot))

    def endpoint(self, instance_id: str, app: str) -> Endpoint:
        at, server = self._endpoints.get(instance_id, (float("-inf"), None))
        if server is None or time.monotonic() - at > ENDPOINT_KEEP:
            copies = self._copies(instance_id)
            if not copies:
                raise ProviderError("The cloud has no machine for this instance.", retry=True)
            server = copies[0]
            now = time.monotonic()
            self._endpoints = {key: kept for key, kept in self._endpoints.items() if now - kept[0] <= ENDPOINT_KEEP}
            self._endpoints[instance_id] = now, server
        if app not in server.apps:
            raise ProviderError(f"There is no {app} in this instance.", retry=False)
        _, address, ports = self._asked(server)
        if not address or not statuses.runs(server):
            self._endpoints.pop(instance_id, None)
            raise ProviderError("The machine of this instance does not run.", retry=True)
        secrets = self._secrets(instance_id, server.generation)
        foreign = self._site.foreign(server.labels.get("environment", ""))
        certificate = "" if foreign else secrets.fingerprint
        return Endpoint(host=address, port=ports[app], secret=getattr(secrets, app), certificate=certificate)

    def _lock(self, instance_id: str) -> threading.Lock:
        """This process changes one instance in one thread at a time; between processes, the oldest server counts."""
        with self._locks_lock:
            return self._locks.setdefault(instance_id, threading.Lock())

    def _secrets(self, instance_id: str, generation: int) -> Secrets:
        return derived(self.configuration.key, instance_id, generation)

    @cached_property
    def _placement(self) -> Door:
        cloud = self.configuration.placement_cloud
        return Door(self.configuration, cloud) if cloud else self.door

    @cached_property
    def _site(self) -> Site:
        try:
            return read(Path(self.configuration.site)) if self.configuration.site else Site()
        except SiteError as error:
            raise ProviderError(f"The site's file makes no sense: {error}.", retry=False) from error

    @cached_property
    def groups(self) -> Groups:
        more = {port for machine in self._site.environments.values() for port in machine.ports.values()}
        return Groups(self.door, self.configuration, frozenset({*PORTS.values(), *more}))

    def _create(self, spec: Spec, report: Report, attempt: int) -> Server:
        """One server, even where another process makes one at the same time: then the younger goes."""
        flavour, image = self.catalogue.flavour(spec), self.catalogue.image(spec.image)
        report(Progress.CREATING, f"{statuses.size_of(spec)} in the cloud, as “{flavour['name']}”")
        user_data = self._user_data(spec)  # first: it says what no machine can be told
        body = changes.request(
            spec,
            self.configuration,
            flavour=flavour["id"],
            image=image,
            networks=self.catalogue.networks(),
            groups=self.groups.of(spec),
            metadata=self._metadata(spec, attempt),
            user_data=user_data,
        )
        report(Progress.MOUNTING, _mounting(spec))
        made = self.door.post("compute", "/servers", body)["server"]["id"]
        copies = self._copies(spec.id)
        if not any(copy.id == made for copy in copies):
            copies.append(self._server(made))
        if copies[0].id != made:
            self._remove(next(copy for copy in copies if copy.id == made))
        else:
            report(Progress.STARTING, "The cloud is preparing a machine")
        return copies[0]

    def _bring(self, server: Server, spec: Spec, report: Report) -> Server:
        """An existing server to the wished generation. Killed anywhere in here, it is done again."""
        flavour, image = self.catalogue.flavour(spec), self.catalogue.image(spec.image)
        report(Progress.CREATING, f"{statuses.size_of(spec)} in the cloud, as “{flavour['name']}”")
        report(Progress.MOUNTING, _mounting(spec))
        report(Progress.STARTING, "The cloud is switching the machine on")
        user_data = b64encode(self._user_data(spec).encode()).decode()
        wished = changes.Wish(flavour=flavour, image=image, metadata=self._metadata(spec), user_data=user_data)
        changes.bring(self.door, server, wished)
        return self._server(server.id)

    def _metadata(self, spec: Spec, attempt: int = 1) -> dict[str, str]:
        firstboot = userdata.digest(spec, self._site)
        return userdata.metadata(spec, self._site) | servers.metadata(spec, firstboot=firstboot, attempt=attempt)

    def _user_data(self, spec: Spec) -> str:
        secrets = self._secrets(spec.id, spec.generation)
        return userdata.render(spec, secrets, self._site, portal=self.configuration.portal)

    def _remove(self, server: Server) -> None:
        changes.delete(self.door, server)
        self.mirror.forget(server.id)

    def _copies(self, instance_id: str) -> list[Server]:
        """Those that carry its tags, the eldest first: one, unless two processes made one each."""
        tags = ",".join(servers.tags(self.configuration.deployment, instance_id))
        found = [
            servers.server(one)
            for page in self.door.pages("compute", "/servers/detail", "servers", tags=tags)
            for one in page
        ]
        ours = [one for one in found if one.deployment == self.configuration.deployment]
        return sorted(ours, key=lambda one: (one.created, one.id))

    def _listed(self, instance_id: str) -> list[Server]:
        """What the list has of an instance that the search by tags lacks, each asked for by its own id.

        The search says nothing of what is in a cell that does not answer; a 404 does.
        """
        found = []
        for known in [one for one in self._ours(age=LIST_AGE) if one.instance == instance_id]:
            try:
                found.append(self._server(known.id))
            except Missing:
                self.mirror.forget(known.id)
        return found

    def _server(self, server_id: str) -> Server:
        answer = self.door.get("compute", f"/servers/{server_id}")["server"]
        if "metadata" not in answer:
            raise ProviderError("A part of the cloud does not answer.", retry=True)
        return servers.server(answer)

    def _ours(self, *, age: float = 0.0) -> list[Server]:
        return [s for s in self.mirror.servers(age=age) if s.deployment == self.configuration.deployment and s.instance]

    def _asked(self, server: Server) -> tuple[Server, str, dict[str, int]]:
        """Where its apps are to be asked."""
        network = self.configuration.networks[0] if self.configuration.networks else ""
        environment = server.labels.get("environment", "")
        return server, server.address(network), {app: self._site.port(environment, app) for app in server.apps}

    def _observed(self, server: Server) -> Observed:
        asked = [self._asked(server)] if statuses.runs(server) else []
        return self._judged(server, self._answers.of(asked).get(server.id, frozenset()))

    def _judged(self, server: Server, answering: frozenset[str]) -> Observed:
        phase, message = statuses.phase(server)
        generation = server.generation
        if phase is Phase.RUNNING and not answering >= set(server.apps):
            phase, message = Phase.STARTING, "The machine runs; waiting for its software to answer"
        if phase is Phase.FAILED:
            model, _ = server.gpus
            message = statuses.reason(server.fault, gpu_model=model, size=_size(server))
            if statuses.lost_race(server):
                # An older generation than the wished one: the next `ensure` tries again.
                return Observed(Phase.STOPPED, 0, message=message, reference=server.id)
        return Observed(phase, generation, answering, message, server.id)


def _size(server: Server) -> str:
    flavour = server.flavour
    return f"{flavour.get('vcpus', 0)} cores and {flavour.get('ram', 0) / 1024:g} GB"


def _mounting(spec: Spec) -> str:
    if not spec.mounts:
        return "Your home, no experiment's data"
    writable = sum(mount.writable for mount in spec.mounts)
    folders = "1 folder" if len(spec.mounts) == 1 else f"{len(spec.mounts)} folders"
    return f"{folders} of data, {writable or 'none'} of them writable"
