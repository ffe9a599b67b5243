"""What of a catalogue is not as it was, told by a number per proposal instead of by all that was read then. Pure.

A proposal's fingerprint covers its row, its experiments, and who takes part with all that is said about them, in
whatever order they come. The last one, under "", covers the rest: instruments, roles, and people without a part.
"""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b

from .base import Catalogue

REST = ""
_ALL = 2**64


def fingerprints(catalogue: Catalogue) -> dict[str, str]:
    """Proposal's code → 16 hex digits."""
    sums: dict[str, int] = defaultdict(int)
    proposal_of = {experiment.key: experiment.proposal for experiment in catalogue.experiments}
    person = {person.key: _number(person) for person in catalogue.people}
    for proposal in catalogue.proposals:
        sums[proposal.code] += _number(proposal)
    for experiment in catalogue.experiments:
        sums[experiment.proposal] += _number(experiment)
    busy = set()
    for p in catalogue.participations:
        busy.add(p.person)
        # Multiplied, because two who swap their parts must not come to the same sum.
        sums[proposal_of[p.experiment]] += _number((p.experiment, p.part)) * (person[p.person] | 1)
    for thing in (*catalogue.instruments, *catalogue.roles):
        sums[REST] += _number(thing)
    for key in person.keys() - busy | {role.person for role in catalogue.roles}:
        sums[REST] += person[key]
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
