"""From a person's part in an experiment to folders, each read-only or read-write, with the reason. Pure.

Raw data is never writable from an instance. A missing release date means closed. Sources: ESRF data policy; the table
in docs/explanation/permissions.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum


class Mode(StrEnum):
    READ = "read"
    READ_WRITE = "read-write"


class Part(StrEnum):
    """What somebody is in one experiment."""

    PRINCIPAL_INVESTIGATOR = "principal_investigator"
    PARTICIPANT = "participant"
    LOCAL_CONTACT = "local_contact"
    INSTRUMENT_SCIENTIST = "instrument_scientist"

    @property
    def label(self) -> str:
        return self.value.replace("_", " ")


FOLDERS = {"RAW_DATA": Mode.READ, "PROCESSED_DATA": Mode.READ_WRITE, "SCRIPTS": Mode.READ_WRITE}
LOCAL_CONTACT_DAYS = 30
"""How long before and after the beam time a local contact sees the data."""


@dataclass(frozen=True, slots=True)
class ExperimentFacts:
    id: int
    proposal: str
    title: str
    instrument: str
    start: datetime
    end: datetime
    folder: str
    """Relative to the facility's data root, for example `visitor/hc-4321/id11/20261120`."""
    released: date | None = None
    doi: str = ""
    proprietary: bool = False

    def is_open(self, today: date) -> bool:
        return bool(self.doi and not self.proprietary and self.released and self.released <= today)

    def is_running(self, now: datetime) -> bool:
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class DataGrant:
    path: str
    mode: Mode
    because: str
    experiment: int
    proposal: str
    until: datetime | None = None

    @property
    def writable(self) -> bool:
        return self.mode is Mode.READ_WRITE


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The answer for one person and one experiment: the folders, or the reason why there are none."""

    grants: tuple[DataGrant, ...] = field(default=())
    because: str = ""

    def __bool__(self) -> bool:
        return bool(self.grants)


def entitlement(experiment: ExperimentFacts, parts: Iterable[Part], *, now: datetime) -> Entitlement:
    """The widest folders that one of `parts`, or the public's right, gives at `now` (aware, any zone)."""
    best = Entitlement(because=_closed(experiment, now))
    for part in sorted(set(parts), key=_ORDER.index, reverse=True):
        best = _for_part(experiment, part, now) or best
    if not best and experiment.is_open(now.astimezone(UTC).date()):
        because = f"{experiment.proposal} is open data, released on {experiment.released} as doi:{experiment.doi}"
        return Entitlement((_grant(experiment, "RAW_DATA", Mode.READ, because),), because)
    return best


_ORDER = [Part.PRINCIPAL_INVESTIGATOR, Part.PARTICIPANT, Part.LOCAL_CONTACT, Part.INSTRUMENT_SCIENTIST]


def _for_part(experiment: ExperimentFacts, part: Part, now: datetime) -> Entitlement:
    until = None
    if part is Part.LOCAL_CONTACT:
        margin = timedelta(days=LOCAL_CONTACT_DAYS)
        until = experiment.end + margin
        if not experiment.start - margin <= now < until:
            return Entitlement()
    because = f"you are {'a ' if part is Part.PARTICIPANT else ''}{part.label} of {experiment.proposal}"
    if part is Part.INSTRUMENT_SCIENTIST:
        if experiment.proprietary:
            return Entitlement()
        because = f"you are {part.label} of {experiment.instrument.upper()}"
    read_only = part is Part.INSTRUMENT_SCIENTIST
    grants = (
        _grant(experiment, folder, Mode.READ if read_only else mode, because, until) for folder, mode in FOLDERS.items()
    )
    return Entitlement(tuple(grants), because)


def _grant(
    experiment: ExperimentFacts, folder: str, mode: Mode, because: str, until: datetime | None = None
) -> DataGrant:
    return DataGrant(f"{experiment.folder}/{folder}", mode, because, experiment.id, experiment.proposal, until)


def _closed(experiment: ExperimentFacts, now: datetime) -> str:
    if experiment.proprietary:
        return f"{experiment.proposal} is proprietary: only its team sees its data."
    if experiment.released and experiment.released > now.astimezone(UTC).date():
        return (
            f"The data of {experiment.proposal} is under embargo until {experiment.released}; you are not on its team."
        )
    return f"You are not on the team of {experiment.proposal}, and its data is not released."
