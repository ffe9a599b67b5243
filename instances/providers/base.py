"""The contract between the reconciler and a cloud. Pure: dataclasses in and out, never models.

Every method is synchronous and idempotent by instance id, may be called from any process at any time, and raises
`ProviderError` when the cloud did not answer. Absence is an answer (`Phase.ABSENT`), silence is an error.
"""

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from instances.errors import ProviderError
from instances.states import Phase, Progress

Report = Callable[[Progress, str], None]
"""Called by `ensure` and `start` when a step begins: the step and one line for the person who waits."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the processes of an instance run as."""

    username: str
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """A granted folder: `source` on the cloud's storage, `target` inside the instance."""

    source: str
    target: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Screen:
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Spec:
    """All that a provider needs to make or to start an instance."""

    id: str
    """32 hex digits, also the instance's host name on the apps' origin."""
    deployment: str
    generation: int
    """Rises with every wish to start or restart; a provider reports the one that it runs."""
    name: str
    owner: Account
    image: str
    apps: tuple[str, ...]
    cores: float
    memory_mb: int
    gpu_model: str = ""
    gpu_count: int = 0
    flavour: str = ""
    """What the cloud calls this hardware, where it has a name there."""
    mounts: tuple[Mount, ...] = ()
    screens: tuple[Screen, ...] = (Screen(1920, 1080),)
    keyboard: str = "us"
    labels: Mapping[str, str] = field(default_factory=dict)
    """Kept with the instance in its cloud, so that it can be recognised there without the database: `owner` (login),
    `environment` and `flavour` (slugs), `experiments` (ids, comma-separated), `proposals` and `instruments` (codes)."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a cloud says of one instance now."""

    phase: Phase
    generation: int = 0
    apps: frozenset[str] = frozenset()
    """Those that answer."""
    message: str = ""
    """One line for the owner: what it is doing, or why it failed."""
    reference: str = ""
    """What the cloud itself calls it, where that is not the instance's id."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing in a cloud's list that carries our deployment's name. Two of the same `id` are one too many."""

    id: str
    """The instance's 32 hex digits, from its metadata."""
    observed: Observed
    labels: Mapping[str, str] = field(default_factory=dict)
    """Those of the spec that it was made from."""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How hard an instance works; None is what its cloud cannot say."""

    cpu_seconds: float | None = None
    """Processor time used since it was started."""
    gpu: float | None = None
    """Share of its GPUs that is busy now, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker reaches one app of a running instance. `secret` never leaves the broker."""

    path: str = ""
    """A unix socket; empty where `host` and `port` are given."""
    host: str = ""
    port: int = 0
    secret: str = field(default="", repr=False)
    certificate: str = ""
    """SHA-256 of the one certificate (DER, hex) that may answer there, over TLS; empty: it is reached without."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a cloud can run at most, and what the portal should say about its limits."""

    cores: float
    memory_mb: int
    gpus: Mapping[str, int] = field(default_factory=dict)
    shared_cores: bool = False
    """Cores may be promised more than once (a single machine); memory and GPUs never are."""
    images: frozenset[str] = frozenset()
    """The images that can be started here now."""
    notes: tuple[str, ...] = ()
    """For administrators and the launch page, for example "memory limits are not enforced here"."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One of the cloud's own flavours."""

    name: str
    cores: float
    memory_mb: int
    gpu_model: str = ""
    gpu_count: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, for whoever sets up a cloud. `fix` says what to do; empty: nothing."""

    what: str
    said: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        return not self.fix


class Provider(abc.ABC):
    kind: str
    tick: ClassVar[timedelta] = timedelta(seconds=10)
    """How often the list of all is asked for."""
    pace: ClassVar[timedelta] = timedelta(seconds=30)
    """How often one instance that is on its way may be asked about beside the list."""
    patience: ClassVar[timedelta] = timedelta(minutes=15)
    """How long an environment may take from its start until all of its apps answer."""

    phones_home: ClassVar[bool] = False
    """Whether its machines report their first boot to the portal, and their activity later."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.settings = settings

    @abc.abstractmethod
    def capacity(self) -> Capacity: ...

    @abc.abstractmethod
    def ensure(self, spec: Spec, report: Report) -> Observed:
        """Make the instance, or adopt it when it is there; then see that it runs at least `spec.generation`."""

    @abc.abstractmethod
    def observe(self, instance_id: str) -> Observed: ...

    @abc.abstractmethod
    def observe_all(self) -> Sequence[Found]:
        """Everything of this deployment on this cloud, in one go: all of it, or ProviderError."""

    def usage(self) -> Mapping[str, Usage]:
        """How hard those that run work, by instance id, in one go; those it knows nothing of are left out."""
        return {}

    @abc.abstractmethod
    def stop(self, instance_id: str) -> None:
        """End what runs; homes and data stay. Returns when it has ended, or raises."""

    @abc.abstractmethod
    def delete(self, instance_id: str) -> None:
        """Stop it and forget what belonged to it alone, in all copies. The owner's home and the data stay."""

    def remove(self, instance_id: str, reference: str) -> None:
        """Delete that one of several copies of an instance which the cloud calls `reference`, and no other."""
        raise ProviderError("This cloud never holds an instance twice.", retry=False)

    def check(self, specs: Sequence[Spec]) -> Iterable[Finding]:
        """Look at everything that `specs` need to be started, without starting them."""
        try:
            capacity = self.capacity()
        except ProviderError as error:
            return [Finding("Cloud", error.reason, fix="See that it runs and can be reached.")]
        lacking = sorted({spec.image for spec in specs} - capacity.images)
        return [Finding("Cloud", "answers"), *(Finding("Image", name, fix="Install it.") for name in lacking)]

    def hardware(self) -> Sequence[Hardware]:
        """The flavours that the cloud has by itself; none where it takes any number of cores."""
        return []

    def console(self, instance_id: str) -> str:
        """The last lines that its machine showed, as `console.readable`; empty where its cloud keeps none."""
        return ""

    @abc.abstractmethod
    def endpoint(self, instance_id: str, app: str) -> Endpoint: ...
