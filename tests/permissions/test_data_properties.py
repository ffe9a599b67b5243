"""Whatever part, dates, flags and overrides come together: raw data stays as it is, and what is closed stays closed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auth import permissions
from auth.data import (
    DataGrant,
    Entitlement,
    ExperimentFacts,
    Held,
    Kind,
    Mode,
    Part,
    Table,
    entitlement,
)

settings.register_profile("permissions", deadline=None)
settings.load_profile("permissions")

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
FAR = datetime.max.replace(tzinfo=UTC)
moments = st.integers(-2000, 2000).map(lambda hours: NOW + timedelta(hours=hours))
dates = st.integers(-60, 60).map(lambda days: NOW.date() + timedelta(days=days))


@st.composite
def experiments(draw: st.DrawFn) -> ExperimentFacts:
    start = draw(moments)
    return ExperimentFacts(
        id=1,
        proposal="HC-1",
        title="",
        instrument=draw(st.sampled_from(["ID11", "P06", "BM33"])),
        start=start,
        end=start + timedelta(hours=draw(st.integers(1, 400))),
        folder="visitor/hc-1/id11/20261120",
        released=draw(st.none() | dates),
        doi=draw(st.sampled_from(["", "10.1/x"])),
        proprietary=draw(st.booleans()),
    )


helds = st.lists(
    st.builds(
        Held,
        part=st.sampled_from(Part),
        until=st.none() | moments,
        source=st.sampled_from(["", "says catalogue files", "granted by Greta"]),
        through=st.sampled_from(["", "your identity ada at example.org"]),
    ),
    max_size=5,
)
RAW = {"RAW_DATA": "raw", "raw": "raw", "Raw-2": "raw"}
PROCESSED = {name: "processed" for name in ("PROCESSED_DATA", "SCRIPTS", "NOBACKUP", "shared", "scratch_cc", "NOTES")}
layouts = st.dictionaries(
    st.sampled_from(["desy", "esrf", "other"]),
    st.lists(st.sampled_from([*RAW, *PROCESSED]), min_size=1, unique_by=str.lower).map(
        lambda names: {name: (RAW | PROCESSED)[name] for name in names}
    ),
    max_size=3,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """What a site may write, all of it valid."""
    mine = draw(layouts)
    document: dict[str, Any] = {"layouts": mine}
    names = st.sampled_from(["standard", *mine])
    document["instruments"] = draw(st.dictionaries(st.sampled_from(["id11", "p06"]), names))
    document["layout"] = draw(names)
    document["open_data"] = draw(st.sampled_from(["read", "none"]))
    document["parts"] = {}
    for part in draw(st.sets(st.sampled_from(Part))):
        row: dict[str, Any] = {}
        row |= {"raw": draw(st.sampled_from(["read", "none"]))} if draw(st.booleans()) else {}
        row |= {"processed": draw(st.sampled_from(["read", "none", "read-write"]))} if draw(st.booleans()) else {}
        if part in (Part.PARTICIPANT, Part.LOCAL_CONTACT):
            row |= {key: draw(st.integers(0, 90)) for key in draw(st.sets(st.sampled_from(DAYS)))}
        document["parts"][part.value] = row
    return document


DAYS = ["days_before", "days_after"]


def table_of(document: dict[str, Any]) -> Table:
    table, problems = permissions.read(document)
    assert problems == []
    return table


tables = documents().map(table_of)


@given(experiments(), helds, tables, moments)
def test_raw_data_is_never_writable(experiment: ExperimentFacts, held: list[Held], table: Table, now: datetime) -> None:
    kinds = dict(table.layout_of(experiment.instrument))
    for grant in entitlement(experiment, held, now=now, table=table).grants:
        folder = grant.path.removeprefix(f"{experiment.folder}/")
        assert kinds[folder] is Kind.PROCESSED or grant.mode is Mode.READ
        assert "raw" not in folder.lower() or grant.mode is Mode.READ


@given(experiments(), helds, tables, moments)
def test_what_is_closed_gives_nothing_without_a_part(
    experiment: ExperimentFacts, held: list[Held], table: Table, now: datetime
) -> None:
    given_to_anyone = entitlement(experiment, [], now=now, table=table)
    opens = experiment.released and datetime(*experiment.released.timetuple()[:3], tzinfo=UTC) <= now
    if experiment.proprietary or not opens or not experiment.doi:
        assert not given_to_anyone
    assert all(grant.mode is Mode.READ and not grant.until for grant in given_to_anyone.grants)
    if experiment.proprietary:
        scientists = [one for one in held if one.part is Part.INSTRUMENT_SCIENTIST]
        assert not entitlement(experiment, scientists, now=now, table=table)


@given(experiments(), helds, tables, moments)
def test_every_answer_has_its_reason_and_stays_in_the_experiment_s_folder(
    experiment: ExperimentFacts, held: list[Held], table: Table, now: datetime
) -> None:
    entitled = entitlement(experiment, held, now=now, table=table)
    assert entitled.because and all(claim.because for claim in entitled.claims)
    assert entitled or entitled.because.endswith(".")
    assert len({grant.path for grant in entitled.grants}) == len(entitled.grants)
    for grant in entitled.grants:
        folder, slash, name = grant.path.rpartition("/")
        assert (folder, slash) == (experiment.folder, "/") and name.strip(".") and grant.because
        assert grant.until is None or grant.until > now


@given(experiments(), helds, tables, moments, st.randoms())
def test_the_order_says_nothing(
    experiment: ExperimentFacts, held: list[Held], table: Table, now: datetime, random: Any
) -> None:
    shuffled = random.sample(held, len(held)) + held[:1]
    assert entitlement(experiment, shuffled, now=now, table=table) == entitlement(
        experiment, held, now=now, table=table
    )


@given(experiments(), helds, tables, moments, st.timedeltas(timedelta(0), timedelta(days=90)))
def test_until_is_true_and_nothing_ends_before_it(
    experiment: ExperimentFacts, held: list[Held], table: Table, now: datetime, passed: timedelta
) -> None:
    later = {g.path: g for g in entitlement(experiment, held, now=now + passed, table=table).grants}
    for grant in entitlement(experiment, held, now=now, table=table).grants:
        if grant.until is None or now + passed < grant.until:
            assert grant.path in later and later[grant.path].writable >= grant.writable
        elif grant.path in later:
            assert later[grant.path].writable < grant.writable or later[grant.path].until != grant.until


@st.composite
def restricted(
    draw: st.DrawFn,
) -> tuple[tuple[ExperimentFacts, list[Held], Table], tuple[ExperimentFacts, list[Held], Table]]:
    """Some circumstances, and the same with a restriction more."""
    experiment, held, table = draw(experiments()), draw(helds), draw(tables)
    before = experiment, held, table
    match draw(st.integers(0, 6)):
        case 0:
            later = experiment.released and experiment.released + timedelta(days=draw(st.integers(1, 99)))
            experiment = replace(experiment, released=draw(st.sampled_from([None, later])))
        case 1:
            experiment = replace(experiment, proprietary=True)
        case 2:
            experiment = replace(experiment, doi="")
        case 3:
            held = [one for one in held if draw(st.booleans())]
        case 4:
            held = [replace(one, until=earlier(one.until, draw(moments))) for one in held]
        case 5:
            table = replace(table, open_data=False)
        case 6:
            part = draw(st.sampled_from(Part))
            row = table.rows[part]
            narrowed = draw(
                st.sampled_from(
                    [
                        replace(row, raw=False),
                        replace(row, processed=None),
                        replace(row, processed=row.processed and Mode.READ),
                        replace(row, days_before=narrower(row.days_before), days_after=narrower(row.days_after)),
                    ]
                )
            )
            table = replace(table, rows={**table.rows, part: narrowed})
    return before, (experiment, held, table)


def earlier(one: datetime | None, other: datetime) -> datetime:
    return min(one, other) if one else other


def narrower(days: int | None) -> int:
    return 20 if days is None else days // 2


@settings(max_examples=400)
@given(restricted(), moments)
def test_a_restriction_never_widens_a_grant(circumstances: Any, now: datetime) -> None:
    (experiment, held, table), (after, fewer, narrow) = circumstances
    wide = entitlement(experiment, held, now=now, table=table)
    assert not_wider(entitlement(after, fewer, now=now, table=narrow), wide)


def not_wider(narrow: Entitlement, wide: Entitlement) -> bool:
    known = {grant.path: width(grant) for grant in wide.grants}
    return all(grant.path in known and width(grant) <= known[grant.path] for grant in narrow.grants)


def width(grant: DataGrant) -> tuple[bool, datetime]:
    return grant.writable, grant.until or FAR


def test_open_data_opens_by_the_day_in_utc() -> None:
    released = ExperimentFacts(
        1, "HC-1", "", "ID11", NOW, NOW, "visitor/hc-1", released=date(2026, 11, 23), doi="10.1/x"
    )  # fmt: skip
    new_york = datetime.fromisoformat("2026-11-22T20:00:00-05:00")
    auckland = datetime.fromisoformat("2026-11-23T12:00:00+13:00")
    assert entitlement(released, [], now=new_york), "it is the 23rd in UTC"
    assert not entitlement(released, [], now=auckland), "it is still the 22nd in UTC"


def test_a_beam_time_at_the_end_of_time_breaks_nothing() -> None:
    for_ever = ExperimentFacts(1, "HC-1", "", "ID11", NOW, FAR, "visitor/hc-1")
    entitled = entitlement(for_ever, [Held(Part.LOCAL_CONTACT)], now=NOW)
    assert {grant.until for grant in entitled.grants} == {FAR}
