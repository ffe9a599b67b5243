"""What a facility lets happen when somebody asks to be let in and the owner is not there. Pure."""

from collections.abc import Mapping
from datetime import timedelta

from .policy import Capacity

LONGEST = 24 * 60


def parse(rules: Mapping[str, str]) -> Mapping[Capacity, timedelta]:
    """How long each capacity waits for an owner who is away before it may watch; those not named are not let in.

    `rules` says for a capacity `deny`, `allow` (at once) or `watch:N` (after N minutes). Raises ValueError.
    """
    found = {}
    for name, rule in rules.items():
        if name not in _NAMES:
            raise ValueError(f"VISA_WHEN_AWAY: {name} is none of {', '.join(_NAMES)}")
        word, _, minutes = rule.strip().partition(":")
        if word == "allow" and not minutes:
            found[Capacity(name)] = timedelta(0)
        elif word == "watch" and minutes.isdecimal() and 0 < int(minutes) <= LONGEST:
            found[Capacity(name)] = timedelta(minutes=int(minutes))
        elif rule.strip() != "deny":
            raise ValueError(f"VISA_WHEN_AWAY: {name}={rule} is none of deny, allow, watch:MINUTES")
    return found


_NAMES = [capacity.value for capacity in Capacity if capacity is not Capacity.MEMBER]
