"""ICAT+: who people are, what sessions of one proposal make of it together, and what is not believed."""

from datetime import date
from typing import Any

import pytest

from auth.access import Role
from auth.catalogues.base import CatalogueError, CatalogueUnavailable, PersonKey
from auth.catalogues.sync import sync

from .services import said
from .worlds import ISS, IcatWorld

ORCID = "https://orcid.org"


def with_row(world: IcatWorld, number: int, **changes: Any) -> Any:
    source = world.source()
    world.service.rows[number - 1] |= changes
    return source


def user(name: str, role: str = "Participant", **fields: str) -> dict[str, Any]:
    return {"role": role, "user": {"name": name, "fullName": "Somebody"} | fields}


def keys(world: IcatWorld, *users: dict[str, Any]) -> set[PersonKey]:
    return {
        p.person
        for p in with_row(world, 3, investigationUsers=list(users)).read().participations
        if p.experiment == "3"
    }


def test_people_are_who_the_table_says(icat: IcatWorld) -> None:
    assert keys(icat, user("db/ann")) == {PersonKey(ISS, "ann")}


def test_neither_a_name_nor_an_address_makes_somebody_known(icat: IcatWorld) -> None:
    stranger = {"role": "Participant", "user": {"name": "db/dan", "fullName": "Ann", "email": "ann@example.org"}}
    source = with_row(icat, 3, investigationUsers=[stranger])
    assert not [p for p in source.read().participations if p.experiment == "3"]
    assert source.notes == ["left out 1 people whose identity is not known: db/dan"]


@pytest.mark.parametrize("field", ["email", "fullName", "name", "familyName", "givenName"])
def test_a_field_that_proves_nothing_cannot_be_configured(icat: IcatWorld, field: str) -> None:
    icat.settings["people"] = {"field": {"name": field, "iss": ORCID}}
    with pytest.raises(CatalogueError, match="must be a verified identifier"):
        icat.source()


def test_an_identifier_that_icat_holds_says_who_somebody_is_unless_the_table_does(icat: IcatWorld) -> None:
    icat.settings["people"]["field"] = {"name": "orcid", "iss": ORCID}
    found = keys(
        icat, user("db/dan", orcid="0000-0002-1825-0097"), user("db/ann", orcid="x"), user("db/eve", orcid=" ")
    )
    assert found == {PersonKey(ORCID, "0000-0002-1825-0097"), PersonKey(ISS, "ann")}


def test_a_user_name_may_be_made_of_the_subject(icat: IcatWorld) -> None:
    icat.settings["people"] = {"prefixes": {"oidc/": ISS}}
    assert keys(icat, user("oidc/abc@example.org"), user("oidc/"), user("db/ann")) == {
        PersonKey(ISS, "abc@example.org")
    }


def test_several_accounts_of_one_person_are_one_person(icat: IcatWorld) -> None:
    icat.settings["people"]["prefixes"] = {"oidc/": ISS}
    source = with_row(icat, 3, investigationUsers=[user("oidc/ann"), user("db/ann")])
    catalogue = source.read()
    assert len(catalogue.people) == 3
    assert len([p for p in catalogue.participations if p.experiment == "3"]) == 1


def test_roles_are_free_text_and_a_strange_one_gives_nothing(icat: IcatWorld) -> None:
    icat.settings["parts"]["Scientist"] = None
    users = [user("db/ann", "  principal  INVESTIGATOR"), user("db/bob", "Scientist"), user("db/cyd", "Chief")]
    source = with_row(icat, 3, investigationUsers=users)
    assert [(p.person.sub, p.part) for p in source.read().participations if p.experiment == "3"] == [
        ("ann", "principal_investigator")
    ]
    assert source.notes == ["left out 1 roles that the configuration does not name: 'Chief'"]


def test_a_proposal_is_public_when_the_last_of_its_sessions_is(icat: IcatWorld) -> None:
    source = with_row(icat, 8, releaseDate="2027-03-01T10:00:00.000+01:00")
    assert {p.code: p.released for p in source.read().proposals}["hc-1"] == date(2027, 3, 2)


@pytest.mark.parametrize("change", [{"releaseDate": None}, {"doi": None}, {"doi": "soon"}, {"releaseDate": ""}])
def test_a_session_without_release_or_doi_keeps_its_proposal_closed(icat: IcatWorld, change: dict[str, Any]) -> None:
    for number in (1, 8):
        source = with_row(icat, number, **change)
        assert {p.code: p.released for p in source.read().proposals}["hc-1"] is None


def test_a_doi_may_be_an_address(icat: IcatWorld) -> None:
    source = with_row(icat, 1, doi="https://doi.org/10.5072/X")
    assert {p.code: p.doi for p in source.read().proposals}["hc-1"] == "10.5072/X"


def test_names_become_codes_as_the_configuration_says(icat: IcatWorld) -> None:
    icat.settings |= {"separator": "", "proprietary": ["in"]}
    icat.settings["instruments"] = {"ID02": {"code": "tomo", "name": "Tomography", "folder": "x/{proposal}"}}
    catalogue = icat.source().read()
    assert {p.code for p in catalogue.proposals} >= {"hc1", "in7"}
    assert {(i.code, i.name, i.folder) for i in catalogue.instruments} >= {("tomo", "Tomography", "x/{proposal}")}
    assert {e.instrument for e in catalogue.experiments} == {"id01", "tomo"}


def test_two_proposals_never_share_a_folder(icat: IcatWorld) -> None:
    with pytest.raises(CatalogueError, match="would have the code 'hc-1', which is 'HC-1''s"):
        with_row(icat, 3, name="HC 1").read()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"startDate": None}, "left out 1 investigations without dates or instrument: HC-3 (3)"),
        ({"endDate": ""}, "left out 1 investigations without dates or instrument: HC-3 (3)"),
        ({"instrument": None}, "left out 1 investigations without dates or instrument: HC-3 (3)"),
        ({"endDate": "2020-01-01T00:00:00Z"}, "left out 1 experiments that end before they begin: 3"),
        ({"name": "☃"}, "left out 1 proposals whose name cannot be part of a path: '☃'"),
        ({"name": "x" * 33}, f"left out 1 proposals whose name cannot be part of a path: '{'x' * 33}'"),
    ],
)
def test_what_the_portal_cannot_use_is_left_out_and_told(icat: IcatWorld, changes: dict[str, Any], note: str) -> None:
    source = with_row(icat, 3, **changes)
    assert "3" not in {e.key for e in source.read().experiments}
    assert source.notes == [note]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"startDate": "yesterday"}, "investigation 3: startDate must be a time with its zone"),
        ({"startDate": "2026-05-01T08:00:00"}, "investigation 3: startDate must be a time with its zone"),
        ({"endDate": 5}, "investigation 3: endDate must be a time with its zone"),
        ({"releaseDate": "never"}, "investigation 3: releaseDate must be a time with its zone"),
        ({"name": None}, "investigation 3: name is missing"),
        ({"id": None}, "one has no number as its id"),
        ({"id": "3"}, "one has no number as its id"),
        ({"id": 10**30}, "one has no number as its id"),
        ({"id": True}, "one has no number as its id"),
        ({"investigationUsers": {}}, "investigation 3: investigationUsers must be a list"),
        ({"investigationUsers": [1]}, "investigation 3: user 1 lacks a role or a name"),
        (
            {"investigationUsers": [{"role": "Participant", "user": {}}]},
            "investigation 3: user 1 lacks a role or a name",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_not_believed(
    icat: IcatWorld, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CatalogueError, match=problem):
        with_row(icat, 3, **changes).read()


def test_texts_are_tidied(icat: IcatWorld) -> None:
    catalogue = with_row(icat, 3, title="  a\x00b \n c" + "d" * 400, summary="one\ntwo\x07").read()
    proposal = next(p for p in catalogue.proposals if p.code == "hc-3")
    assert proposal.title.startswith("a b cd")
    assert (len(proposal.title), proposal.abstract) == (300, "one\ntwo")


@pytest.mark.django_db
def test_text_that_no_database_takes_does_not_stop_a_sync(icat: IcatWorld) -> None:
    odd = "x\x00\ud800\x1b[31m"
    users = [user("db/ann", email=f"{odd}@example.org", fullName=odd), user(odd), user("db/bob", odd)]
    source = with_row(icat, 3, title=odd, summary=odd, doi=f"10.5072/{odd}", investigationUsers=users)
    assert sync(source)
    assert not any(c in "".join(source.notes) for c in "\x00\ud800\x1b")


@pytest.mark.parametrize("meta", [None, {}, {"page": None}, {"page": {"total": None}}, {"page": {"total": "8"}}])
def test_an_answer_that_does_not_say_how_many_there_are_is_not_believed(icat: IcatWorld, meta: Any) -> None:
    source = icat.source()
    first = icat.service.rows[0]
    icat.service.fault = lambda service, number, answer: said([first | {"meta": meta}])
    with pytest.raises(CatalogueUnavailable, match="does not say how many"):
        source.read()


def test_a_total_that_grows_is_not_believed(icat: IcatWorld) -> None:
    source = icat.source()

    def grow(service: Any, number: int, answer: Any) -> Any:
        if number == 2:
            service.rows.append(service.rows[0] | {"id": 99})
        return answer

    icat.service.fault = grow
    with pytest.raises(CatalogueUnavailable, match="there were 8, and now 9"):
        source.read()


def test_instrument_scientists_are_given_their_role(icat: IcatWorld) -> None:
    icat.settings["instrument_scientists"] = True
    icat.service.scientists = [
        {"id": "1", "user": {"name": "db/bob", "fullName": "Bob"}, "instrument": {"name": "ID01"}},
        {"id": "2", "user": {"name": "db/unknown"}, "instrument": {"name": "ID01"}},
    ]
    source = icat.source()
    assert [(r.person.sub, r.role, r.instrument) for r in source.read().roles] == [
        ("bob", Role.INSTRUMENT_SCIENTIST, "id01")
    ]
    assert source.notes == ["left out 1 people whose identity is not known: db/unknown"]


def test_the_session_is_ended(icat: IcatWorld) -> None:
    icat.source().read()
    assert icat.service.logins == 1
    assert not icat.service.sessions


def test_all_mistakes_of_a_configuration_are_told_at_once(icat: IcatWorld) -> None:
    (icat.folder / "users.csv").write_text("user,iss,sub\ndb/a,ftp://x,1\ndb/b,https://x.org,\n")
    icat.settings |= {"url": "http://icat.example.org", "page_size": 0, "parts": {"Boss": "boss"}, "speed": 1}
    del icat.settings["plugin"], icat.settings["proprietary"]
    with pytest.raises(CatalogueError) as caught:
        icat.source()
    assert sorted(caught.value.problems) == [
        "config.json: page_size must be a number from 1 to 5000",
        "config.json: parts gives Boss a part that is none of "
        "principal_investigator, participant, local_contact, instrument_scientist",
        "config.json: plugin is missing",
        "config.json: proprietary is missing",
        "config.json: there is no setting 'speed'",
        "config.json: url must be an https address, or one on this machine",
        "users.csv:2: iss must be the http(s) address of an identity provider",
        "users.csv:3: sub is missing",
    ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"people": {}}, "people: table, field or prefixes must say who people are"),
        ({"people": {"prefixes": {"": ISS}}}, "a prefix must not be empty"),
        ({"people": {"field": {"name": "orcid"}}}, "people: field: iss is missing"),
        ({"people": {"table": "nowhere.csv"}}, "nowhere.csv: cannot be read"),
        ({"people": "users.csv"}, "people must be an object"),
        ({"url": "https://a:b@icat.example.org"}, "the account comes from the environment"),
        ({"parts": {}}, "must say which role is which part"),
        ({"parts": {"A": None, "a ": None}}, "names a role twice"),
        ({"parts": {"A": ["x"]}}, "parts gives A a part"),
        ({"proprietary": ["IN"]}, "must be a list of beginnings"),
        ({"separator": "/"}, "separator must be"),
        ({"folder": "/x"}, "folder must have {proposal}"),
        ({"instrument_scientists": "yes"}, "must be true or false"),
        ({"instruments": {"A": {"code": "x"}, "B": {"code": "x"}}}, "2 have the code 'x'"),
        ({"instruments": {"A": {"code": "X"}}}, "instruments: A: code must be lower-case"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(icat: IcatWorld, settings: dict[str, Any], problem: str) -> None:
    icat.settings |= settings
    with pytest.raises(CatalogueError) as caught:
        icat.source()
    assert any(problem in line for line in caught.value.problems), caught.value.problems
    assert not icat.service.asked


@pytest.mark.parametrize("text", ["", "[", "[]", "[" * 100_000])
def test_a_configuration_that_is_no_json_object_is_refused(icat: IcatWorld, text: str) -> None:
    from auth.catalogues import icat as module

    (icat.folder / "broken.json").write_text(text)
    with pytest.raises(CatalogueError, match=r"broken\.json: (cannot be read|must be a JSON object)"):
        module.load(icat.folder / "broken.json")
