"""What a facility says of its cloud in `Cloud.settings`, checked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from instances.errors import ProviderError


@dataclass(frozen=True, slots=True)
class SiteGroup:
    """A security group of the facility's own, for the instances that all of its conditions hold for."""

    name: str
    roles: frozenset[str] = frozenset()
    flavours: frozenset[str] = frozenset()
    instruments: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """An empty condition holds for everybody; otherwise one of the label's values must be in it."""
        conditions = {"roles": self.roles, "flavour": self.flavours, "instruments": self.instruments}
        return all(not wanted or wanted & set(labels.get(name, "").split(",")) for name, wanted in conditions.items())


@dataclass(frozen=True, slots=True)
class Configuration:
    """Names may be ids wherever OpenStack has both."""

    deployment: str
    key: str = field(repr=False)
    """What the secrets of instances are derived from."""
    portal: str = ""
    site: str = ""
    """A file that says what instances are told at their first boot (see `site.py`)."""
    cloud: str = ""
    """An entry of clouds.yaml; empty: credentials come from the environment."""
    clouds_file: str = ""
    environment: str = "OS_"
    """How the variables with credentials begin, where there is no `cloud`."""
    region: str = ""
    placement_cloud: str = ""
    """An entry of clouds.yaml that may read placement, which a plain member of a project may not."""
    networks: tuple[str, ...] = ()
    """What instances are connected to; the first is the one that the broker reaches them in."""
    broker_addresses: tuple[str, ...] = ()
    """Networks (CIDR) that the apps' ports can be reached from. Empty: no group is managed."""
    security_groups: tuple[SiteGroup, ...] = ()
    server_group: str = ""
    availability_zone: str = ""
    key_pair: str = ""
    boot_volume_gb: int = 0
    """0: the flavour's own disk."""
    images: Mapping[str, str] = field(default_factory=dict)
    """From the environments' names of images to the cloud's, where they differ."""
    flavours: Mapping[str, str] = field(default_factory=dict)
    gpus: Mapping[str, int | str] = field(default_factory=dict)
    """By model: how many there are, or their resource class in placement, `CLASS` or `CLASS/TRAIT`."""
    name_prefix: str = "visa"
    stop: str = "shutoff"
    """`shelve` gives the cores back to the cloud while an instance is stopped."""
    page: int = 500

    STOPS: ClassVar = ("shutoff", "shelve")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Configuration":
        """Raises ProviderError with what is wrong. Settings of other kinds of cloud are passed over."""
        known = {name: settings[name] for name in cls.__slots__ if name in settings}
        try:
            for name in ("networks", "broker_addresses"):
                known[name] = _texts(known.get(name, ()))
            known["security_groups"] = tuple(_site_group(group) for group in known.get("security_groups", ()))
            made = cls(**known)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ProviderError(f"The settings of this cloud make no sense: {error}.", retry=False) from error
        if made.stop not in cls.STOPS:
            raise ProviderError(f"“stop” is one of {', '.join(cls.STOPS)}, not {made.stop}.", retry=False)
        return made


def _texts(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)


def _site_group(group: str | Mapping[str, Any]) -> SiteGroup:
    if isinstance(group, str):
        return SiteGroup(group)
    conditions = {
        name: frozenset(_texts(group[name])) for name in ("roles", "flavours", "instruments") if name in group
    }
    return SiteGroup(str(group["name"]), **conditions)
