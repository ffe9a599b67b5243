"""From the state of one proposal to its Catalogue, which says all about it and nothing about any other. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from auth.catalogues import cells
from auth.catalogues.assembly import Assembly
from auth.catalogues.base import Catalogue, Experiment, PersonKey

from .config import Config, Meaning
from .messages import ProposalState, Someone, Unreadable

NOTHING = Catalogue((), (), (), (), (), ())


@dataclass(frozen=True, slots=True)
class Portrait:
    code: str
    """As it stands in paths."""
    since: datetime | None
    """When it first gave access; None: it never did."""
    catalogue: Catalogue
    notes: tuple[str, ...]


def portray(state: ProposalState, config: Config, *, source: str, since: datetime | None) -> Portrait:
    """`since`: what an earlier portrait of the same proposal had. Unreadable when there is no telling."""
    assembly = Assembly(config.rules)
    code = assembly.code("proposal", state.code)
    if code is None:
        raise Unreadable(f"shortCode {state.code[:60]!r} cannot be part of a path")
    meaning = Meaning.NONE if state.deleted else config.meaning(state.status)
    if meaning is None:
        raise Unreadable(f"newStatus {state.status[:60]!r}: the configuration does not say what that means")
    if meaning is Meaning.NONE or (meaning is Meaning.CLOSED and since is None):
        return Portrait(code, since, NOTHING, ())
    since = since or state.at
    experiments = _experiments(state, config, code=code, source=source, since=since)
    assembly.proposal(code, title=state.title, abstract=state.abstract, released=None, doi="", rank=())
    for experiment in experiments:
        assembly.experiment(experiment)
    if meaning is Meaning.ACCESS:
        _participants(state, config, assembly, [experiment.key for experiment in experiments])
        if not experiments:
            assembly.leave_out(state.code, "proposals without an instrument")
    found = assembly.catalogue()
    used = {experiment.instrument for experiment in experiments}
    mine = tuple(instrument for instrument in found.instruments if instrument.code in used)
    whole = Catalogue(mine, found.people, found.proposals, found.experiments, found.participations, ())
    return Portrait(code, since, whole, tuple(assembly.report()))


def _experiments(
    state: ProposalState, config: Config, *, code: str, source: str, since: datetime
) -> tuple[Experiment, ...]:
    """One on each instrument. They keep the day on which they began, whatever messages follow."""
    start = datetime.combine(since.astimezone(UTC).date(), time(), UTC)
    found = []
    for name in state.instruments:
        entry = config.rules.instruments.get(name)
        if entry is None:
            raise Unreadable(f"instrument {name[:60]!r}: the configuration does not name it")
        key = f"{source}/{state.number}/{entry.code}"
        found.append(Experiment(key, code, entry.code, state.title, start, start + timedelta(days=config.days)))
    return tuple(found)


def _participants(state: ProposalState, config: Config, assembly: Assembly, experiments: Iterable[str]) -> None:
    for where, someone in state.people:
        part = config.parts[where]
        if part is None or (key := _key(someone, config, assembly)) is None:
            continue
        person = assembly.person(
            key, someone.id, name=someone.name, email=someone.email, affiliation=someone.affiliation
        )
        for experiment in experiments:
            assembly.participation(experiment, person, part)


def _key(someone: Someone, config: Config, assembly: Assembly) -> PersonKey | None:
    """None, and left out, without an identity that somebody vouches for. Names and addresses are never asked."""
    who = f"user {someone.id}"
    if not someone.iss or not someone.sub:
        assembly.leave_out(who, "people who have not signed in to User Office yet")
    elif someone.iss not in config.issuers:
        assembly.leave_out(f"{who} of {someone.iss}", "people of an identity provider that the configuration omits")
    elif not _is_subject(someone.sub):
        assembly.leave_out(who, "people whose subject is none")
    else:
        return PersonKey(cells.issuer(someone.iss), someone.sub)
    return None


def _is_subject(sub: str) -> bool:
    return sub.isprintable() and " " not in sub and len(sub) <= 255
