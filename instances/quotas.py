"""How much somebody may have at once: limits, use, what remains, and the sentence of a refusal. Pure.

What is limited: `instances` that exist, and the cores, memory and GPUs of those that run or are to run.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

Number = TypeVar("Number", int, float)
ALL_GPUS = "*"
"""In a limit on GPUs: those of every model together."""


class Scope(StrEnum):
    """Whose use is summed up and held against the limit."""

    GLOBAL = "global"
    PERSON = "person"
    ROLE = "role"
    PROPOSAL = "proposal"
    INSTRUMENT = "instrument"


@dataclass(frozen=True, slots=True)
class Amount:
    """What one instance takes, or many together. Memory in MB, GPUs by model."""

    instances: int = 0
    cores: float = 0
    memory_mb: int = 0
    gpus: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Amount") -> "Amount":
        models = self.gpus.keys() | other.gpus.keys()
        return Amount(
            self.instances + other.instances,
            self.cores + other.cores,
            self.memory_mb + other.memory_mb,
            {model: self.gpus.get(model, 0) + other.gpus.get(model, 0) for model in models},
        )

    def of(self, resource: str) -> float:
        """By the name that `Limits` has for it."""
        kind, _, model = resource.partition(":")
        if kind == "gpu":
            return sum(self.gpus.values()) if model == ALL_GPUS else self.gpus.get(model, 0)
        return float(getattr(self, kind))


@dataclass(frozen=True, slots=True)
class Limits:
    """None, and a model that is not named: no limit."""

    instances: int | None = None
    cores: float | None = None
    memory_mb: int | None = None
    gpus: Mapping[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Those that exist, by resource: `instances`, `cores`, `memory_mb`, `gpu:A40`, `gpu:*`."""
        for name in ("instances", "cores", "memory_mb"):
            if (limit := getattr(self, name)) is not None:
                yield name, limit
        for model, count in sorted(self.gpus.items()):
            yield f"gpu:{model}", count

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def __or__(self, other: "Limits") -> "Limits":
        """Of each resource the more generous of two limits; where one of them has none, there is none."""
        shared = self.gpus.keys() & other.gpus.keys()
        return Limits(
            _wider(self.instances, other.instances),
            _wider(self.cores, other.cores),
            _wider(self.memory_mb, other.memory_mb),
            {model: max(self.gpus[model], other.gpus[model]) for model in shared},
        )


def most_generous(several: Iterable[Limits]) -> Limits:
    found = list(several)
    merged = found[0]
    for limits in found[1:]:
        merged |= limits
    return merged


@dataclass(frozen=True, slots=True)
class Gauge:
    """One limit with its use, to be shown."""

    resource: str
    limit: float
    used: float
    rest: float

    @property
    def label(self) -> str:
        return label(self.resource)

    @property
    def in_words(self) -> str:
        """`2 of 10`, `16 of 64 GB`."""
        limit = amount(self.resource, self.limit)
        return f"{amount(self.resource, self.used).removesuffix(' GB')} of {limit}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that holds for a launch, with what counts against it now. `holder`: `Your quota`, `The quota of HC-1`."""

    scope: Scope
    holder: str
    limits: Limits
    use: Amount

    @property
    def gauges(self) -> list[Gauge]:
        return [
            Gauge(resource, limit, self.use.of(resource), self.rest(resource, limit)) for resource, limit in self.limits
        ]

    def rest(self, resource: str, limit: float) -> float:
        """0 where more is used than a limit that was lowered later allows."""
        return max(0, limit - self.use.of(resource))

    def over(self, wanted: Amount) -> str:
        """The first resource of which `wanted` takes more than remains; empty when it fits.

        What is not wanted is not refused: whoever has too many GPUs may launch without one.
        """
        for resource, limit in self.limits:
            if wanted.of(resource) > 0 and self.use.of(resource) + wanted.of(resource) > limit:
                return resource
        return ""


def refusal(bounds: Iterable[Bound], wanted: Amount, *, who: str) -> str:
    """Which limit says no, its use and who can change it; empty when all of them leave room."""
    for bound in bounds:
        if resource := bound.over(wanted):
            limit, used, more = dict(bound.limits)[resource], bound.use.of(resource), wanted.of(resource)
            verb = "is" if used == 1 else "are"
            needs = f"{amount(resource, used)} {verb} in use, and this needs {amount(resource, more)}"
            way_out = "Stop something first"
            if resource == "instances":
                needs, way_out = f"and there {verb} {amount(resource, used)}", "Delete one first"
            return (
                f"{bound.holder} is {amount(resource, limit, named=True)}, {needs}. {way_out}, or ask for more: {who}"
            )
    return ""


def shortfall(bounds: Iterable[Bound], wanted: Amount) -> str:
    """The same in a few words, for where many are refused side by side."""
    for bound in bounds:
        if resource := bound.over(wanted):
            rest = bound.rest(resource, dict(bound.limits)[resource])
            left = amount(resource, rest, named=True) if rest else f"no {_name(resource, 1)}"
            return f"{bound.holder} leaves {left}."
    return ""


def amount(resource: str, value: float, *, named: bool = False) -> str:
    """With its unit where that is needed: `3`, `16 GB`; `named`: `3 cores`, `2 A40 GPUs`, `16 GB of memory`."""
    if resource == "memory_mb":
        return f"{value / 1024:.4g} GB" + (" of memory" if named else "")
    number = f"{value:.4g}"
    return f"{number} {_name(resource, value)}" if named else number


def label(resource: str) -> str:
    """As the heading of a column: `Instances`, `Memory`, `A40 GPUs`."""
    name = _name(resource, 2)
    return name[0].upper() + name[1:]


def _name(resource: str, count: float) -> str:
    kind, _, model = resource.partition(":")
    if kind == "memory_mb":
        return "memory"
    name = {"instances": "instance", "cores": "core", "gpu": "GPU" if model == ALL_GPUS else f"{model} GPU"}[kind]
    return name if count == 1 else f"{name}s"


def _wider(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else max(one, other)
