"""What a facility has to put right before its cloud can be used: each thing looked at, and what to do about it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from instances.errors import ProviderError
from instances.providers.base import Finding, Spec

from . import capacity
from .catalogue import Catalogue
from .configuration import Configuration
from .door import MICROVERSIONS, Door
from .groups import Groups

CLOCK = 5.0
"""Seconds that the cloud's clock may differ from ours."""


def check(
    configuration: Configuration,
    door: Door,
    placement: Door,
    catalogue: Catalogue,
    groups: Groups,
    specs: Sequence[Spec],
) -> Iterator[Finding]:
    """Nothing is changed but the security group that the portal keeps. Ends early where there is no way in."""
    credentials = attempt("Credentials", door.project, "application credentials in clouds.yaml or the environment")
    yield credentials
    if not credentials.ok:
        return
    limits = attempt(
        "Compute", lambda: door.get("compute", "/limits"), f"nova with {MICROVERSIONS['compute']} or later"
    )
    yield limits
    if not limits.ok:
        return
    yield clock(door.offset)
    yield from quotas(door)
    yield from named(configuration, door, catalogue)
    yield attempt("Security groups", lambda: _groups(configuration, groups), "the groups that the settings name")
    for model, source in configuration.gpus.items():
        if isinstance(source, str):
            needs = "“placement_cloud”: credentials that may read placement, or a number in “gpus”"
            yield attempt(f"{model} GPUs", partial(_free, placement, source), needs)
    for spec in specs:
        what = ", ".join(spec.labels[name] for name in ("environment", "flavour") if name in spec.labels) or spec.image
        yield attempt(what, partial(_startable, catalogue, spec), "the name in the offer, or in “images” or “flavours”")


def attempt(what: str, ask: Callable[[], Any], needs: str) -> Finding:
    try:
        found = ask()
    except ProviderError as error:
        return Finding(what, str(error) or "not there", fix=f"Needs {needs}.")
    return Finding(what, found if isinstance(found, str) else "found")


def clock(offset: float) -> Finding:
    if abs(offset) <= CLOCK:
        return Finding("Clock", "agrees with ours")
    way = "ahead of" if offset > 0 else "behind"
    said = f"nova's clock is {abs(offset):.0f} seconds {way} ours"
    return Finding("Clock", said, fix="Let both follow a time server (NTP).")


def quotas(door: Door) -> Iterator[Finding]:
    absolute = door.get("compute", "/limits")["limits"]["absolute"]
    for what, most, used, least in (
        ("machines", "maxTotalInstances", "totalInstancesUsed", 1),
        ("cores", "maxTotalCores", "totalCoresUsed", 1),
        ("MB of memory", "maxTotalRAMSize", "totalRAMUsed", 512),
    ):
        if absolute[most] < 0:
            yield Finding("Quota", f"{what}: without limit")
            continue
        left = absolute[most] - absolute[used]
        fix = "" if left >= least else f"Raise the project's quota for {what}, or delete what is not needed."
        yield Finding("Quota", f"{what}: {left} of {absolute[most]} left", fix=fix)


def named(configuration: Configuration, door: Door, catalogue: Catalogue) -> Iterator[Finding]:
    """What the settings name and every server needs."""
    if configuration.networks:
        yield attempt("Networks", catalogue.networks, "the networks that the settings name")
    else:
        yield Finding("Networks", "none is named: nova takes the project's only one")
    if configuration.key_pair:
        path = f"/os-keypairs/{configuration.key_pair}"
        yield attempt("Key pair", lambda: door.get("compute", path), "a key pair of the portal's own account")
    if configuration.server_group:
        path = f"/os-server-groups/{configuration.server_group}"
        yield attempt("Server group", lambda: door.get("compute", path), "the id of a server group in this project")
    if configuration.availability_zone:
        yield attempt("Availability zone", lambda: _zone(configuration, door), "a zone that is available")
    if configuration.boot_volume_gb:
        fix = "" if door.has("block-storage") else "Set “boot_volume_gb” to 0: this cloud has no cinder."
        yield Finding("Boot volumes", f"{configuration.boot_volume_gb} GB", fix=fix)


def _zone(configuration: Configuration, door: Door) -> str:
    zones = door.get("compute", "/os-availability-zone")["availabilityZoneInfo"]
    open_zones = [zone["zoneName"] for zone in zones if zone["zoneState"]["available"]]
    if configuration.availability_zone not in open_zones:
        raise ProviderError(f"{configuration.availability_zone} is none of {', '.join(open_zones)}", retry=False)
    return configuration.availability_zone


def _free(placement: Door, source: str) -> str:
    return f"{capacity.free(placement, source)} free now"


def _groups(configuration: Configuration, groups: Groups) -> str:
    groups.look()
    missing = [group.name for group in configuration.security_groups if not groups.has(group.name)]
    if missing:
        raise ProviderError(f"{', '.join(missing)} is not there", retry=False)
    if not configuration.broker_addresses:
        return "none is kept: the project's default group decides who reaches the apps' ports"
    return f"{groups.name} lets {', '.join(configuration.broker_addresses)} reach the apps' ports"


def _startable(catalogue: Catalogue, spec: Spec) -> str:
    flavour = catalogue.flavour(spec)
    catalogue.image(spec.image)
    there = flavour["vcpus"], flavour["ram"]
    if there != (spec.cores, spec.memory_mb):
        said = f"“{flavour['name']}” has {there[0]} cores and {there[1]} MB, the portal promises"
        raise ProviderError(f"{said} {spec.cores:g} and {spec.memory_mb}", retry=False)
    return f"“{flavour['name']}” with “{spec.image}”"
