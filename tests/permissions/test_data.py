"""Single cells of the table, with the words that people read."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.data import STANDARD_TABLE, ExperimentFacts, Held, Mode, Part, entitlement

from .test_data_properties import table_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def experiment(**changes: object) -> ExperimentFacts:
    facts = {"id": 1, "proposal": "HC-1", "title": "", "instrument": "ID11", "start": NOW - DAY, "end": NOW + DAY}
    return ExperimentFacts(**{**facts, "folder": "visitor/hc-1/id11/20261122", **changes})  # type: ignore[arg-type]


def words(*held: Held, **changes: object) -> str:
    return entitlement(experiment(**changes), held, now=NOW).because


def test_the_reason_says_who_says_so_until_when_and_through_which_identity() -> None:
    granted = Held(Part.LOCAL_CONTACT, datetime(2026, 12, 3, tzinfo=UTC), "granted by Greta Admin")
    assert words(granted) == "you are local contact of HC-1, granted by Greta Admin until 3 December 2026"
    assert words(
        Held(Part.PARTICIPANT, source="says catalogue files", through="your identity ada at umbrella.org")
    ) == ("you are a participant of HC-1, says catalogue files, through your identity ada at umbrella.org")
    assert words(Held(Part.LOCAL_CONTACT, source="says catalogue icat")) == (
        "you are local contact of HC-1, says catalogue icat, until 24 December 2026"
    )


@pytest.mark.parametrize(
    ("role_ends", "ends"),
    [(None, NOW + 31 * DAY), (NOW + 5 * DAY, NOW + 5 * DAY), (NOW + 99 * DAY, NOW + 31 * DAY)],
)
def test_of_a_role_s_end_and_the_window_the_earlier_counts(role_ends: datetime | None, ends: datetime) -> None:
    entitled = entitlement(experiment(), [Held(Part.LOCAL_CONTACT, role_ends)], now=NOW)
    assert {grant.until for grant in entitled.grants} == {ends}


def test_what_ended_gives_nothing_and_says_when() -> None:
    assert words(Held(Part.PARTICIPANT, NOW)) == "You were a participant of HC-1 until 23 November 2026."
    assert words(Held(Part.LOCAL_CONTACT), start=NOW + 40 * DAY, end=NOW + 41 * DAY) == (
        "You are local contact of HC-1: its data opens to you on 3 December 2026, 30 days before beam time."
    )


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({}, "You are not on the team of HC-1. The data of HC-1 has no release date, so it is closed."),
        ({"proprietary": True}, "You are not on the team of HC-1. HC-1 is proprietary: only its team sees its data."),
        (
            {"released": (NOW + DAY).date(), "doi": "10.1/x"},
            "You are not on the team of HC-1. The data of HC-1 is under embargo until 24 November 2026.",
        ),
        ({"released": NOW.date()}, "You are not on the team of HC-1. The data of HC-1 has no DOI, so it is not open."),
        ({"released": NOW.date(), "doi": "10.1/x"}, "HC-1 is open data, released on 23 November 2026 as doi:10.1/x"),
    ],
)
def test_what_is_told_to_anyone(changes: dict[str, object], because: str) -> None:
    assert words(**changes) == because


def test_an_instrument_scientist_reads_and_gets_nothing_of_a_company() -> None:
    scientist = [Held(Part.INSTRUMENT_SCIENTIST)]
    assert {grant.mode for grant in entitlement(experiment(), scientist, now=NOW).grants} == {Mode.READ}
    refused = entitlement(experiment(proprietary=True), scientist, now=NOW)
    assert (refused.grants, refused.because) == ((), "HC-1 is proprietary: only its team sees its data.")


def test_of_two_parts_each_folder_gets_the_wider_with_its_own_reason() -> None:
    leaving = Held(Part.PARTICIPANT, NOW + DAY)
    entitled = entitlement(experiment(), [Held(Part.INSTRUMENT_SCIENTIST), leaving], now=NOW)
    shown = {grant.path.rpartition("/")[2]: (grant.mode, grant.until) for grant in entitled.grants}
    assert shown == {
        "RAW_DATA": (Mode.READ, None),
        "PROCESSED_DATA": (Mode.READ_WRITE, NOW + DAY),
        "SCRIPTS": (Mode.READ_WRITE, NOW + DAY),
    }
    assert "instrument scientist" in entitled.grants[0].because and "participant" in entitled.grants[1].because


def test_only_a_principal_investigator_may_grant_others() -> None:
    assert [part for part, row in STANDARD_TABLE.rows.items() if row.may_grant_others] == [Part.PRINCIPAL_INVESTIGATOR]


def test_open_data_without_a_folder_of_raw_data_says_so() -> None:
    table = table_of({"layouts": {"mine": {"PROCESSED": "processed"}}, "layout": "mine", "open_data": "read"})
    released = experiment(released=NOW.date() - DAY, doi="10.1/x")
    entitled = entitlement(released, [], now=NOW, table=table)
    assert not entitled
    assert entitled.because.endswith(
        "is open data, released on 22 November 2026 as doi:10.1/x, but it has no folder of raw data here."
    )
