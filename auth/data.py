"""From what somebody is in an experiment to folders, each read-only or read-write, with the reason and the end. Pure.

Raw data is never writable from an instance, a missing release date means closed, and what is proprietary is its
team's: no `Table` can say otherwise. Sources: ESRF data policy; the table in docs/explanation/permissions.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    READ = "read"
    READ_WRITE = "read-write"


class Kind(StrEnum):
    """What a folder holds: what was measured, or what was made of it."""

    RAW = "raw"
    PROCESSED = "processed"


class Part(StrEnum):
    """What somebody is in one experiment."""

    PRINCIPAL_INVESTIGATOR = "principal_investigator"
    PARTICIPANT = "participant"
    LOCAL_CONTACT = "local_contact"
    INSTRUMENT_SCIENTIST = "instrument_scientist"

    @property
    def label(self) -> str:
        return self.value.replace("_", " ")


Layout = tuple[tuple[str, Kind], ...]
STANDARD: Layout = (("RAW_DATA", Kind.RAW), ("PROCESSED_DATA", Kind.PROCESSED), ("SCRIPTS", Kind.PROCESSED))


@dataclass(frozen=True, slots=True)
class Row:
    """What a part gives. Raw data is read or not: there is no way to say more. Days are counted from the beam time."""

    raw: bool = True
    processed: Mode | None = Mode.READ_WRITE
    days_before: int | None = None
    days_after: int | None = None
    may_grant_others: bool = False
    by_site: bool = False
    """Whether the facility's own configuration has a say in it."""

    def mode(self, kind: Kind) -> Mode | None:
        return (Mode.READ if self.raw else None) if kind is Kind.RAW else self.processed

    @property
    def words(self) -> str:
        text = f"raw data {Mode.READ if self.raw else 'none'}, the rest {self.processed or 'none'}"
        if self.days_before is not None:
            text += f", from {days(self.days_before)} before the beam time"
        if self.days_after is not None:
            text += f", until {days(self.days_after)} after it"
        return text


@dataclass(frozen=True, slots=True)
class Table:
    """Who gets what at a facility: `STANDARD_TABLE`, as far as its own configuration does not change it."""

    rows: Mapping[Part, Row]
    open_data: bool = True
    """Whether anyone may read the raw data that is released and has a DOI."""
    layout: Layout = STANDARD
    layouts: Mapping[str, Layout] = field(default_factory=lambda: MappingProxyType({}))
    """By the code of an instrument, where it has another than `layout`."""
    control_days: int = 7
    """How many days around a beam time the instrument control sees the instances of its instruments."""

    def layout_of(self, instrument: str) -> Layout:
        return self.layouts.get(instrument.lower(), self.layout)


STANDARD_TABLE = Table(
    MappingProxyType(
        {
            Part.PRINCIPAL_INVESTIGATOR: Row(may_grant_others=True),
            Part.PARTICIPANT: Row(),
            Part.LOCAL_CONTACT: Row(days_before=30, days_after=30),
            Part.INSTRUMENT_SCIENTIST: Row(processed=Mode.READ),
        }
    )
)


@dataclass(frozen=True, slots=True)
class Held:
    """A part that somebody has: who says so, until when, and through which of their identities if not this one."""

    part: Part
    until: datetime | None = None
    source: str = ""
    """Completes "you are participant of HC-1, …"."""
    through: str = ""


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
        """`today` is the day in UTC."""
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
class Claim:
    """One claim to the data and what became of it. `held` is None for what anyone may."""

    held: Held | None
    row: Row | None
    because: str
    grants: tuple[DataGrant, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.grants)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The answer for one person and one experiment: the folders, or the reason why there are none."""

    grants: tuple[DataGrant, ...] = field(default=())
    because: str = ""
    claims: tuple[Claim, ...] = field(default=())
    """Everything that was considered, the strongest first."""

    def __bool__(self) -> bool:
        return bool(self.grants)


def entitlement(
    experiment: ExperimentFacts, held: Iterable[Held], *, now: datetime, table: Table = STANDARD_TABLE
) -> Entitlement:
    """For each folder the widest of what the parts, and the public's right, give at `now` (aware, any zone)."""
    claims = [_for_part(experiment, part, now, table) for part in sorted(set(held), key=_rank)]
    claims.append(_for_anyone(experiment, now, table))
    grants = _widest(claims)
    if grants:
        return Entitlement(grants, grants[0].because, tuple(claims))
    because = claims[0].because
    if not claims[0].held:
        because = f"You are not on the team of {experiment.proposal}. {because}"
    return Entitlement((), because, tuple(claims))


def window(start: datetime, end: datetime, row: Row) -> tuple[datetime | None, datetime | None]:
    """Between which moments `row` gives anything of a beam time; None where it has no bound."""
    since = None if row.days_before is None else _shifted(start, -row.days_before)
    return since, None if row.days_after is None else _shifted(end, row.days_after)


def earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def day(moment: datetime | date) -> str:
    if isinstance(moment, datetime):
        moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}"


def days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


_ORDER = list(Part)
_NEVER = datetime.max.replace(tzinfo=UTC)


def _shifted(moment: datetime, number: int) -> datetime:
    try:
        return moment + timedelta(days=number)
    except OverflowError:  # catalogues write "for ever" as the year 9999
        return _NEVER if number > 0 else datetime.min.replace(tzinfo=UTC)


def _rank(held: Held) -> tuple[int, float, str, str]:
    return _ORDER.index(held.part), -(held.until or _NEVER).timestamp(), held.through, held.source


def _for_part(experiment: ExperimentFacts, held: Held, now: datetime, table: Table) -> Claim:
    row = table.rows[held.part]
    since, end = window(experiment.start, experiment.end, row)
    where = experiment.instrument if held.part is Part.INSTRUMENT_SCIENTIST else experiment.proposal
    you = f"{'a ' if held.part is Part.PARTICIPANT else ''}{held.part.label} of {where}"
    refusal = ""
    if held.until is not None and held.until <= now:
        refusal = f"You were {you} until {day(held.until)}."
    elif held.part is Part.INSTRUMENT_SCIENTIST and experiment.proprietary:
        refusal = _closed(experiment, now)
    elif not row.raw and row.processed is None:
        refusal = f"You are {you}, which gives none of its data at this facility."
    elif since is not None and now < since:
        refusal = f"You are {you}: its data opens to you on {day(since)}, {_days(row.days_before)} before beam time."
    elif end is not None and now >= end:
        refusal = f"You are {you}: its data closed to you on {day(end)}, {_days(row.days_after)} after beam time."
    if refusal:
        return Claim(held, row, refusal)
    until = earliest(held.until, end)
    because = f"you are {you}{_origin(held, until)}"
    modes = ((folder, row.mode(kind)) for folder, kind in table.layout_of(experiment.instrument))
    grants = tuple(_grant(experiment, folder, mode, because, until) for folder, mode in modes if mode)
    return Claim(held, row, because if grants else f"You are {you}, and no folder there is for you.", grants)


def _origin(held: Held, until: datetime | None) -> str:
    """Who says so, until when and through which identity."""
    said = f", {held.source}" if held.source else ""
    if until:
        said += f"{' ' if said and until == held.until else ', '}until {day(until)}"
    return said + (f", through {held.through}" if held.through else "")


def _for_anyone(experiment: ExperimentFacts, now: datetime, table: Table) -> Claim:
    if experiment.released is None or not experiment.is_open(now.astimezone(UTC).date()):
        return Claim(None, None, _closed(experiment, now))
    if not table.open_data:
        return Claim(None, None, f"{experiment.proposal} is released, but this portal offers it to its team only.")
    because = f"{experiment.proposal} is open data, released on {day(experiment.released)} as doi:{experiment.doi}"
    layout = table.layout_of(experiment.instrument)
    raw = [folder for folder, kind in layout if kind is Kind.RAW]
    if not raw:
        return Claim(None, None, f"{because}, but it has no folder of raw data here.")
    return Claim(None, None, because, tuple(_grant(experiment, folder, Mode.READ, because, None) for folder in raw))


def _widest(claims: list[Claim]) -> tuple[DataGrant, ...]:
    """A later end counts only among grants of one mode; of equal ones the strongest claim gives the reason."""
    best: dict[str, DataGrant] = {}
    for grant in (grant for claim in claims for grant in claim.grants):
        known = best.get(grant.path)
        if known is None or _width(grant) > _width(known):
            best[grant.path] = grant
    return tuple(best.values())


def _width(grant: DataGrant) -> tuple[bool, datetime]:
    return grant.writable, grant.until or _NEVER


def _grant(experiment: ExperimentFacts, folder: str, mode: Mode, because: str, until: datetime | None) -> DataGrant:
    return DataGrant(f"{experiment.folder}/{folder}", mode, because, experiment.id, experiment.proposal, until)


def _days(number: int | None) -> str:
    return days(number or 0)


def _closed(experiment: ExperimentFacts, now: datetime) -> str:
    if experiment.proprietary:
        return f"{experiment.proposal} is proprietary: only its team sees its data."
    if not experiment.released:
        return f"The data of {experiment.proposal} has no release date, so it is closed."
    if experiment.released > now.astimezone(UTC).date():
        return f"The data of {experiment.proposal} is under embargo until {day(experiment.released)}."
    return f"The data of {experiment.proposal} has no DOI, so it is not open."
