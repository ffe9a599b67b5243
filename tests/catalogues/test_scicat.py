"""SciCat: groups instead of people, periods instead of experiments, and nothing public without a day and a DOI."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from auth.catalogues.base import CatalogueError, CatalogueUnavailable
from auth.data import Part

from .services import Answer, Service, said
from .worlds import ISS, SciCatWorld

PERIOD = {"id": "x1", "instrument": "/EXAMPLE/ID01", "start": "2026-05-01T08:00:00Z", "end": "2026-05-02T08:00:00Z"}


def with_row(world: SciCatWorld, number: int, **changes: Any) -> Any:
    source = world.source()
    world.service.rows[number - 1] |= changes
    return source


def test_pages_are_asked_for_in_an_order(scicat: SciCatWorld) -> None:
    scicat.source().read()
    pages = [urlsplit(line.split()[1]) for line in scicat.service.asked if "/proposals?" in line]
    asked = [json.loads(parse_qs(page.query)["filters"][0]) for page in pages]
    assert [filters["limits"]["skip"] for filters in asked] == [0, 2, 4, 6]
    assert {filters["limits"]["order"] for filters in asked} == {"proposalId:asc"}


def test_members_of_the_owner_group_take_part_in_every_period(scicat: SciCatWorld) -> None:
    found = {(p.experiment, p.person.sub, p.part) for p in scicat.source().read().participations}
    assert {part for part in found if part[0].startswith("hc-1/")} == {
        ("hc-1/p1", "ann", Part.PRINCIPAL_INVESTIGATOR),
        ("hc-1/p8", "ann", Part.PRINCIPAL_INVESTIGATOR),
        ("hc-1/p1", "bob", Part.PARTICIPANT),
        ("hc-1/p8", "bob", Part.PARTICIPANT),
    }


@pytest.mark.parametrize("let_in", [False, True])
def test_access_groups_take_part_only_if_the_configuration_says_so(scicat: SciCatWorld, let_in: bool) -> None:
    scicat.settings["access_groups"] = let_in
    source = with_row(scicat, 3, accessGroups=["hc-1"])
    assert any(p.experiment == "hc-3/p3" for p in source.read().participations) == let_in


def test_addresses_make_nobody_known(scicat: SciCatWorld) -> None:
    source = with_row(scicat, 3, ownerGroup="strangers", pi_email="ann@example.org", email="ann@example.org")
    assert not [p for p in source.read().participations if p.experiment == "hc-3/p3"]
    assert "'strangers'" in " ".join(source.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"isPublished": False},
        {"isPublished": None},
        {"isPublished": "true"},
        {"metadata": {"doi": "10.5072/x"}},
        {"metadata": {"releaseDate": "2024-01-01"}},
        {"metadata": None},
    ],
)
def test_what_is_not_wholly_published_is_closed(scicat: SciCatWorld, changes: dict[str, Any]) -> None:
    source = with_row(scicat, 1, **changes)
    assert {p.code: p.released for p in source.read().proposals}["hc-1"] is None


def test_nothing_is_public_where_the_configuration_names_no_metadata(scicat: SciCatWorld) -> None:
    del scicat.settings["metadata"]
    assert not [p for p in scicat.source().read().proposals if p.released or p.doi]


def test_a_period_that_is_moved_stays_the_same_experiment(scicat: SciCatWorld) -> None:
    source = with_row(scicat, 3, MeasurementPeriodList=[PERIOD | {"end": "2026-05-09T08:00:00Z"}])
    assert "hc-3/x1" in {e.key for e in source.read().experiments}


def test_a_period_without_an_id_is_known_by_its_instrument_and_start(scicat: SciCatWorld) -> None:
    source = with_row(scicat, 3, MeasurementPeriodList=[PERIOD | {"id": None}])
    assert "hc-3/id01-20260501T080000" in {e.key for e in source.read().experiments}


def test_two_instruments_of_the_same_last_name_are_told_apart(scicat: SciCatWorld) -> None:
    source = with_row(scicat, 3, MeasurementPeriodList=[PERIOD | {"instrument": "/ELSEWHERE/ID01"}])
    with pytest.raises(CatalogueError, match="'/ELSEWHERE/ID01': would have the code 'id01'"):
        source.read()
    scicat.settings["instruments"] = {"/ELSEWHERE/ID01": {"code": "else-id01", "name": "ID01, elsewhere"}}
    source = with_row(scicat, 3, MeasurementPeriodList=[PERIOD | {"instrument": "/ELSEWHERE/ID01"}])
    assert {e.key: e.instrument for e in source.read().experiments}["hc-3/x1"] == "else-id01"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"MeasurementPeriodList": []}, "left out 1 proposals without a measurement period: HC-3"),
        ({"MeasurementPeriodList": None}, "left out 1 proposals without a measurement period: HC-3"),
        ({"MeasurementPeriodList": [PERIOD | {"end": None}]}, "period without dates or instrument: proposal HC-3"),
        ({"MeasurementPeriodList": [PERIOD | {"end": PERIOD["start"]}]}, "that end before they begin: hc-3/x1"),
    ],
)
def test_what_the_portal_cannot_use_is_left_out_and_told(
    scicat: SciCatWorld, changes: dict[str, Any], note: str
) -> None:
    source = with_row(scicat, 3, **changes)
    assert not [e for e in source.read().experiments if e.proposal == "hc-3"]
    assert any(line.endswith(note) for line in source.notes), source.notes


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"proposalId": ""}, "one has no proposalId"),
        ({"ownerGroup": None}, "proposal HC-3: ownerGroup must be text"),
        ({"accessGroups": "everybody"}, "proposal HC-3: ownerGroup must be text and accessGroups a list"),
        ({"MeasurementPeriodList": {}}, "proposal HC-3: MeasurementPeriodList must be a list"),
        ({"MeasurementPeriodList": [1]}, "proposal HC-3: MeasurementPeriodList must be a list of objects"),
        ({"MeasurementPeriodList": [PERIOD | {"instrument": None}]}, "a measurement period has no instrument"),
        ({"MeasurementPeriodList": [PERIOD | {"start": "2026-05-01T08:00:00"}]}, "start must be a time with its zone"),
        ({"MeasurementPeriodList": [PERIOD, PERIOD]}, "experiment hc-3/x1: is there twice"),
        (
            {"isPublished": True, "metadata": {"releaseDate": "soon", "doi": "10.5072/x"}},
            "proposal HC-3: releaseDate must be a time",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_not_believed(
    scicat: SciCatWorld, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CatalogueError, match=problem):
        with_row(scicat, 3, **changes).read()


def test_a_number_that_moves_while_the_last_page_is_read_is_not_believed(scicat: SciCatWorld) -> None:
    source = scicat.source()

    def grow(service: Any, number: int, answer: Any) -> Any:
        if number == 4:
            service.rows.append(service.rows[0] | {"proposalId": "ZZ-1"})
        return answer

    scicat.service.fault = grow
    with pytest.raises(CatalogueUnavailable, match="there were 7, and now 8"):
        source.read()


def test_more_than_were_counted_is_not_believed(scicat: SciCatWorld) -> None:
    source = scicat.source()
    rows = scicat.service.rows
    scicat.service.fault = lambda service, number, answer: said([*rows, rows[0] | {"proposalId": "ZZ-1"}])
    with pytest.raises(CatalogueUnavailable, match="8 came, of 7"):
        source.read()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"members": "nowhere.csv"}, "nowhere.csv: cannot be read"),
        ({"members": 5}, "members must be text"),
        ({"access_groups": 1}, "access_groups must be true or false"),
        ({"metadata": {"released": 1}}, "metadata: released must be text"),
        ({"metadata": {"day": "x"}}, "metadata: there is no setting 'day'"),
        ({"plugin": "db"}, "there is no setting 'plugin'"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(scicat: SciCatWorld, settings: dict[str, Any], problem: str) -> None:
    scicat.settings |= settings
    with pytest.raises(CatalogueError) as caught:
        scicat.source()
    assert any(problem in line for line in caught.value.problems), caught.value.problems
    assert not scicat.service.asked


def test_a_member_is_there_once_and_as_something(scicat: SciCatWorld) -> None:
    scicat.settings["members"] = "own.csv"
    (scicat.folder / "own.csv").write_text(
        f"group,iss,sub,name,part\ng,{ISS},a,A,participant\ng,{ISS},a,A,participant\ng,{ISS},b,B,boss\n"
    )
    with pytest.raises(CatalogueError) as caught:
        scicat.source()
    assert [line.split(": ")[0] for line in caught.value.problems] == ["own.csv:3", "own.csv:4"]


def test_what_scicat_shows_nobody_is_not_taken_for_all_there_is(scicat: SciCatWorld) -> None:
    """A token that runs out on the way is not refused: the answers get shorter, that is all."""
    expected = scicat.source().read()
    source = scicat.source()

    def run_out(service: Service, number: int, answer: Answer) -> Answer:
        if number != 2:
            return answer
        service.sessions.clear()
        return said([row for row in service.rows if row["isPublished"]][:1])

    scicat.service.pages, scicat.service.logins, scicat.service.fault = 0, 0, run_out
    assert source.read() == expected
    assert scicat.service.logins == 2
