"""What of a catalogue is not as it was, told by a number per proposal instead of by all that was read then. Pure.

A proposal's fingerprint covers its row, its experiments, and who takes part with all that is said about them, in
whatever order they come. The last one, under "", covers the rest: instruments, roles, and people without a part.
"""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b

from auth.data import Part

from .base import Catalogue

REST = ""
_ALL = 2**64


def fingerprints(catalogue: Catalogue) -> dict[str, str]:
    """Proposal's code → 16 hex digits."""
    sums: dict[str, int] = defaultdict(int)
    person = {person.key: [_number(person) | 1, False] for person in catalogue.people}
    """Their number, and whether they take part in anything."""
    parts = {part: _number(part) | 1 for part in Part}
    experiments = {}
    for proposal in catalogue.proposals:
        sums[proposal.code] += _number(proposal)
    for experiment in catalogue.experiments:
        number = _number(experiment)
        experiments[experiment.key] = experiment.proposal, number
        sums[experiment.proposal] += number
    for p in catalogue.participations:
        code, number = experiments[p.experiment]
        who = person[p.person]
        # A product, so that two who swap their parts or experiments do not come to the same sum.
        sums[code] += number * who[0] * parts[p.part] % _ALL
        who[1] = True
    for thing in (*catalogue.instruments, *catalogue.roles):
        sums[REST] += _number(thing)
    named = {role.person for role in catalogue.roles}
    sums[REST] += sum(number for key, (number, busy) in person.items() if key in named or not busy)
    return {code: f"{number % _ALL:016x}" for code, number in sums.items()}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[frozenset[str], bool]:
    """Codes of proposals that are new, other or gone, and whether the rest is other."""
    codes = {code for code in before.keys() | now.keys() if before.get(code) != now.get(code)}
    return frozenset(codes - {REST}), REST in codes


def narrowed(catalogue: Catalogue, codes: frozenset[str], *, rest: bool) -> Catalogue:
    """What `catalogue` says about these proposals, and, if asked, the rest."""
    experiments = tuple(e for e in catalogue.experiments if e.proposal in codes)
    keys = {experiment.key for experiment in experiments}
    participations = tuple(p for p in catalogue.participations if p.experiment in keys)
    roles = catalogue.roles if rest else ()
    named = {link.person for links in (participations, roles) for link in links}
    if rest:
        named |= {person.key for person in catalogue.people} - {p.person for p in catalogue.participations}
    return Catalogue(
        catalogue.instruments,
        tuple(person for person in catalogue.people if person.key in named),
        tuple(proposal for proposal in catalogue.proposals if proposal.code in codes),
        experiments,
        participations,
        roles,
    )


def _number(thing: object) -> int:
    return int.from_bytes(blake2b(repr(thing).encode(), digest_size=8).digest())
