"""News about some proposals touches these and nothing else, and each catalogue speaks for itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auth.access import Role
from auth.catalogues.base import (
    Catalogue,
    CatalogueError,
    Experiment,
    Instrument,
    OutOfScope,
    Participation,
    Person,
    PersonKey,
    Proposal,
    RoleGrant,
)
from auth.catalogues.diff import MassRemoval
from auth.catalogues.sync import merge, take_over
from auth.data import Part
from auth.models import AuditEvent, User
from auth.models import Experiment as ExperimentRow
from auth.models import Instrument as InstrumentRow
from auth.models import Participation as PartRow
from auth.models import Proposal as ProposalRow
from auth.models import RoleGrant as RoleRow
from tests import facility as facilities

pytestmark = pytest.mark.django_db
ISS = "https://proxy.example.org"
DAY = datetime(2026, 11, 20, 8, tzinfo=UTC)
PARTICIPANT = Part.PARTICIPANT
EMPTY = Catalogue((), (), (), (), (), ())


def who(name: str) -> PersonKey:
    return PersonKey(ISS, name)


def catalogue(teams: dict[str, str], *, instrument: str = "id01", folder: str = "{proposal}/{date}") -> Catalogue:
    """`teams`: proposal → its people, a letter each; each proposal has one experiment of its name in capitals."""
    people = sorted({name for team in teams.values() for name in team})
    return Catalogue(
        (Instrument(instrument, instrument, folder),),
        tuple(Person(who(name), name.upper()) for name in people),
        tuple(Proposal(code, f"About {code}") for code in teams),
        tuple(Experiment(code.upper(), code, instrument, "Measuring", DAY, DAY + timedelta(days=1)) for code in teams),
        tuple(
            Participation(code.upper(), who(name), Part.PARTICIPANT) for code, team in teams.items() for name in team
        ),
        (),
    )


def parts() -> set[tuple[str, str, str]]:
    return set(PartRow.objects.values_list("experiment__key", "user__sub", "source"))


def test_news_about_one_proposal_leaves_the_others_alone() -> None:
    take_over(catalogue({"hc-1": "ab", "hc-2": "b"}), source="a")
    diff = merge(catalogue({"hc-1": "bc"}), source="a", proposals=["hc-1"])
    assert diff.counts == {"person.add": 1, "participation.add": 1, "participation.remove": 1}
    assert parts() == {(e, w, "catalogue:a") for e, w in [("HC-1", "b"), ("HC-1", "c"), ("HC-2", "b")]}
    assert not merge(catalogue({"hc-1": "bc"}), source="a", proposals=["hc-1"])
    assert AuditEvent.objects.count() == 2


def test_a_proposal_that_was_asked_for_and_is_missing_is_gone() -> None:
    take_over(catalogue({"hc-1": "ab", "hc-2": "b"}), source="a")
    merge(EMPTY, source="a", proposals=["hc-1", "hc-9"])
    assert set(ProposalRow.objects.values_list("code", flat=True)) == {"hc-2"}
    assert InstrumentRow.objects.exists()
    assert User.objects.count() == 2


def test_a_proposal_that_is_gone_is_kept_and_closed_while_an_instance_refers_to_it() -> None:
    take_over(catalogue({"hc-1": "a"}), source="a")
    ProposalRow.objects.update(released="2020-01-01", doi="10.5072/x")
    facility = facilities.build()
    facilities.instance(facility, facility.ada).experiments.set([ExperimentRow.objects.get(key="HC-1")])
    diff = merge(EMPTY, source="a", proposals=["hc-1"])
    assert "keep experiment HC-1: instances refer to it" in str(diff)
    assert ProposalRow.objects.get(code="hc-1").released is None
    assert not PartRow.objects.filter(experiment__key="HC-1", source="catalogue:a").exists()
    assert not merge(EMPTY, source="a", proposals=["hc-1"])


def test_what_was_not_asked_for_is_out_of_scope() -> None:
    take_over(catalogue({"hc-1": "ab", "hc-2": "b"}), source="a")
    with pytest.raises(OutOfScope, match="hc-2 was not asked for"):
        merge(catalogue({"hc-1": "a", "hc-2": ""}), source="a", proposals=["hc-1"])
    moved = catalogue({"hc-1": "a"})
    moved = replace(moved, experiments=(replace(moved.experiments[0], key="HC-2"),), participations=())
    with pytest.raises(OutOfScope, match="experiment HC-2 is one of hc-2, of which nothing is said"):
        merge(moved, source="a", proposals=["hc-1"])
    assert len(parts()) == 3


def test_roles_are_given_by_news_and_taken_by_nothing_but_the_whole() -> None:
    first = catalogue({"hc-1": "a"})
    role = RoleGrant(who("a"), Role.INSTRUMENT_SCIENTIST, "staff", "id01")
    take_over(replace(first, roles=(role,)), source="a")
    merge(first, source="a", proposals=["hc-1"])
    assert RoleRow.objects.count() == 1
    take_over(first, source="a", proposals=["hc-1"], whole_roles=True, force=True)
    assert not RoleRow.objects.exists()


def test_an_empty_answer_about_several_teams_is_not_believed() -> None:
    take_over(catalogue({"hc-1": "a", "hc-2": "b", "hc-3": "c"}), source="a")
    with pytest.raises(MassRemoval, match="nobody takes part in any of 3 proposals"):
        merge(EMPTY, source="a", proposals=["hc-1", "hc-2", "hc-3"])
    with pytest.raises(MassRemoval):
        merge(catalogue({"hc-1": "", "hc-2": "", "hc-3": ""}), source="a", proposals=["hc-1", "hc-2", "hc-3"])
    assert merge(catalogue({"hc-1": "a"}), source="a", proposals=["hc-1", "hc-2", "hc-3"])
    assert {experiment for experiment, _, _ in parts()} == {"HC-1"}


def test_two_catalogues_live_beside_each_other() -> None:
    take_over(catalogue({"hc-1": "ab"}), source="a")
    take_over(catalogue({"hc-2": "b"}, instrument="id02"), source="b")
    assert not take_over(catalogue({"hc-1": "ab"}), source="a")
    take_over(catalogue({"hc-1": "a"}), source="a", force=True)
    assert parts() == {("HC-1", "a", "catalogue:a"), ("HC-2", "b", "catalogue:b")}


def test_a_part_that_two_catalogues_name_holds_until_both_are_silent() -> None:
    take_over(catalogue({"hc-1": "ab"}), source="a")
    take_over(replace(catalogue({"hc-1": "ab"}), proposals=(), experiments=(), instruments=()), source="b")
    assert len(parts()) == 4
    take_over(catalogue({"hc-1": "a"}), source="a", force=True)
    assert {(w, s) for _, w, s in parts()} == {("a", "catalogue:a"), ("a", "catalogue:b"), ("b", "catalogue:b")}
    diff = take_over(catalogue({}), source="a", force=True)
    assert "keep experiment HC-1: parts or roles from elsewhere hang on it" in str(diff)
    assert {(w, s) for _, w, s in parts()} == {("a", "catalogue:b"), ("b", "catalogue:b")}


@pytest.mark.parametrize("whole", [True, False])
def test_what_belongs_to_another_catalogue_is_refused_by_both_names(whole: bool) -> None:
    take_over(catalogue({"hc-1": "a"}), source="a")
    with pytest.raises(CatalogueError) as caught:
        take_over(catalogue({"hc-1": "b", "hc-2": "b"}), source="b", proposals=None if whole else ["hc-1", "hc-2"])
    assert caught.value.problems == [
        "proposal hc-1 belongs to catalogue:a, and catalogue:b says it is its own",
        "experiment HC-1 belongs to catalogue:a, and catalogue:b says it is its own",
    ]
    assert ProposalRow.objects.count() == User.objects.count() == 1


def test_an_instrument_is_shared_by_those_who_agree_where_its_data_lies() -> None:
    take_over(catalogue({"hc-1": "a"}), source="a")
    take_over(catalogue({"hc-2": "b"}), source="b")
    with pytest.raises(CatalogueError, match=r"instrument id01 belongs to catalogue:a with the folder .*/x"):
        take_over(catalogue({"hc-2": "b"}, folder="{proposal}/x"), source="b")
    diff = take_over(EMPTY, source="a", force=True)
    assert "change instrument id01: source catalogue:a -> catalogue:b" in str(diff)
    assert not take_over(EMPTY, source="a", force=True)
    assert not take_over(catalogue({"hc-2": "b"}), source="b")


def test_two_names_for_one_person_do_not_take_turns() -> None:
    take_over(catalogue({"hc-1": "a"}), source="a")
    other = catalogue({"hc-2": "a"}, instrument="id02")
    other = replace(other, people=(replace(other.people[0], name="Anne"),))
    take_over(other, source="b")
    for _ in range(2):
        assert not take_over(other, source="b")
        assert not take_over(catalogue({"hc-1": "a"}), source="a")
    assert User.objects.get().name == "A"


def test_upper_case_at_myaccessid_is_the_same_person() -> None:
    first = catalogue({"hc-1": "a"})
    key = PersonKey("https://proxy.myaccessid.org", "ABC@MyAccessID.org")
    upper = replace(first, people=(Person(key, "A"),), participations=(Participation("HC-1", key, PARTICIPANT),))
    take_over(upper, source="a")
    lower = PersonKey(key.iss, "abc@myaccessid.org")
    same = replace(first, people=(Person(lower, "A"),), participations=(Participation("HC-1", lower, PARTICIPANT),))
    assert not take_over(same, source="a")
    assert User.objects.get().sub == "abc@myaccessid.org"


def test_a_first_load_is_spelt_out_over_several_audit_rows() -> None:
    team = {f"hc-{n}": "abcde" for n in range(450)}
    take_over(catalogue(team), source="a")
    rows = list(AuditEvent.objects.order_by("seq").values_list("detail", flat=True))
    assert [row["row"] for row in rows] == [1, 2, 3]
    assert [len(row["access"]) for row in rows] == [1000, 1000, 250]
    assert len({line for row in rows for line in row["access"]}) == 2250
    assert rows[0]["counts"]["participation.add"] == 2250
    assert "counts" not in rows[1]


def test_a_participant_whom_nobody_describes_is_a_problem() -> None:
    with pytest.raises(CatalogueError, match=r"a of https://proxy\.example\.org takes part, but is not among"):
        take_over(replace(catalogue({"hc-1": "a"}), people=()), source="a")
    with pytest.raises(CatalogueError, match="experiment HC-1: somebody takes part in it, but there is none"):
        take_over(replace(catalogue({"hc-1": "a"}), experiments=(), proposals=()), source="a")
