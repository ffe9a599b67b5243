"""What one message of a User Office says, and what is not believed. No broker, no database."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.catalogues.base import Catalogue, CatalogueError, PersonKey
from auth.catalogues.useroffice import messages
from auth.catalogues.useroffice.config import Address, Config
from auth.catalogues.useroffice.messages import ProposalState, Unreadable
from auth.catalogues.useroffice.portrayal import NOTHING, Portrait, portray
from auth.data import Part

from .offices import ISS, SOURCE, load, person, proposal, settings

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STAMP = int(NOW.timestamp() * 1000)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(tmp_path, settings())


def read(said: Any, event: str = "PROPOSAL_UPDATED", stamp: int | None = STAMP) -> ProposalState | None:
    return messages.read(event, stamp, json.dumps(said).encode(), now=NOW)


def seen(said: Any, config: Config, event: str = "PROPOSAL_UPDATED", since: datetime | None = None) -> Portrait:
    state = read(said, event)
    assert state is not None
    return portray(state, config, source=SOURCE, since=since)


def parts(catalogue: Catalogue) -> set[tuple[str, str]]:
    return {(p.person.sub, p.part.value) for p in catalogue.participations}


def test_a_message_is_one_proposal_with_its_instruments_and_people(config: Config) -> None:
    found = seen(proposal(1, dataAccessUsers=[person("cyd")], visitors=[person("dan")]), config)
    catalogue = found.catalogue
    assert [(p.code, p.title, p.released, p.proprietary) for p in catalogue.proposals] == [
        ("100001", "What 1 is about, é and ☃", None, False)
    ]
    assert [(i.code, i.name) for i in catalogue.instruments] == [("loki", "LoKI")]
    experiment = catalogue.experiments[0]
    assert (experiment.key, experiment.proposal, experiment.instrument) == ("office/1/loki", "100001", "loki")
    assert (experiment.start, experiment.end - experiment.start) == (
        datetime(2026, 11, 20, tzinfo=UTC),
        timedelta(days=365),
    )
    assert parts(catalogue) == {("ann", "principal_investigator"), ("bob", "participant"), ("cyd", "participant")}
    bob = next(p for p in catalogue.people if p.key == PersonKey(ISS, "bob"))
    assert (bob.name, bob.email, bob.affiliation) == ("Bob Example", "bob@example.org", "Institute of Examples")
    assert found.notes == ()


def test_an_experiment_keeps_the_day_on_which_it_began(config: Config) -> None:
    since = datetime(2026, 1, 2, 23, 59, tzinfo=UTC)
    found = seen(proposal(1), config, since=since)
    assert (found.since, found.catalogue.experiments[0].start.date()) == (since, date(2026, 1, 2))


def test_visitors_take_part_where_the_facility_says_so(tmp_path: Path) -> None:
    config = load(tmp_path, settings(parts={"visitors": "participant", "members": None}))
    found = seen(proposal(1, visitors=[person("dan")]), config)
    assert parts(found.catalogue) == {("ann", "principal_investigator"), ("dan", "participant")}


def test_proposer_and_member_at_once_is_both_and_one_person(config: Config) -> None:
    catalogue = seen(proposal(1, members=[person("ann")]), config).catalogue
    assert parts(catalogue) == {("ann", "principal_investigator"), ("ann", "participant")}
    assert len(catalogue.people) == 1


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"oidcSub": None}, "left out 1 people who have not signed in to User Office yet: user 307"),
        ({"oauthIssuer": None}, "left out 1 people who have not signed in to User Office yet: user 307"),
        ({"oidcSub": "  "}, "left out 1 people who have not signed in to User Office yet: user 307"),
        (
            {"oauthIssuer": "https://elsewhere.example.org"},
            "left out 1 people of an identity provider that the configuration omits: "
            "user 307 of https://elsewhere.example.org",
        ),
        ({"oidcSub": "b ob"}, "left out 1 people whose subject is none: user 307"),
        ({"oidcSub": "b" * 256}, "left out 1 people whose subject is none: user 307"),
    ],
)
def test_who_has_no_verified_identity_is_left_out_and_told(config: Config, changes: dict[str, Any], note: str) -> None:
    found = seen(proposal(1, members=[person("bob", **changes)]), config)
    assert parts(found.catalogue) == {("ann", "principal_investigator")}
    assert found.notes == (note,)


def test_a_proposal_that_is_over_keeps_its_experiments_and_nobody(config: Config) -> None:
    found = seen(proposal(1, newStatus="EXPIRED"), config, since=NOW)
    assert [e.key for e in found.catalogue.experiments] == ["office/1/loki"]
    assert found.catalogue.participations == ()


@pytest.mark.parametrize("status", ["DRAFT", "EXPIRED"])
def test_a_proposal_that_never_gave_access_is_none(config: Config, status: str) -> None:
    assert seen(proposal(1, newStatus=status), config).catalogue == NOTHING


def test_a_deleted_proposal_is_none_whatever_its_status(config: Config) -> None:
    said = proposal(1, members=[])
    del said["newStatus"]
    found = seen(said, config, "PROPOSAL_DELETED", since=NOW)
    assert (found.code, found.catalogue) == ("100001", NOTHING)


def test_a_proposal_without_instrument_gives_nobody_anything(config: Config) -> None:
    said = proposal(1)
    del said["instruments"]
    found = seen(said, config)
    assert (found.catalogue.experiments, found.catalogue.participations) == ((), ())
    assert found.notes == ("left out 1 proposals without an instrument: 100001",)


def test_fields_that_an_older_user_office_does_not_send_are_empty(config: Config) -> None:
    said = proposal(1)
    del said["dataAccessUsers"], said["visitors"], said["proposer"]
    assert parts(seen(said, config).catalogue) == {("bob", "participant")}


@pytest.mark.parametrize(
    "event", ["USER_UPDATED", "CALL_CREATED", "PROPOSAL_FAPS_SELECTED", "VISIT_CREATED", "TOPIC_ANSWERED", ""]
)
def test_messages_about_something_else_say_nothing(event: str) -> None:
    assert messages.read(event, None, b"[1, 2]", now=NOW) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"proposalPk": "1"}, "proposalPk must be a number"),
        ({"proposalPk": True}, "proposalPk must be a number"),
        ({"proposalPk": 0}, "proposalPk must be a number"),
        ({"shortCode": None}, "shortCode must be text"),
        ({"shortCode": " "}, "shortCode must be text"),
        ({"title": 5}, "title must be text"),
        ({"newStatus": None}, "newStatus must be text"),
        ({"instruments": {}}, "instruments must be a list"),
        ({"instruments": ["LOKI"]}, "instruments, number 1: must be an object"),
        ({"instruments": [{"id": 1}]}, "shortCode must be text"),
        ({"members": None}, "members must be a list"),
        ({"members": ["bob"]}, "members, number 1: must be an object"),
        ({"members": [{"oidcSub": "bob"}]}, "members, number 1: there is no oauthIssuer"),
        ({"visitors": [{"oauthIssuer": ISS}]}, "visitors, number 1: there is no oidcSub"),
        ({"proposer": person("ann", oidcSub=7)}, "proposer: oidcSub must be text"),
        ({"proposer": person("ann", lastName=7)}, "proposer: lastName must be text"),
    ],
)
def test_a_message_that_breaks_the_contract_is_not_believed(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        read(proposal(1, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"newStatus": "LIMBO"}, "newStatus 'LIMBO': the configuration does not say what that means"),
        ({"instruments": [{"shortCode": "NEW"}]}, "instrument 'NEW': the configuration does not name it"),
        ({"shortCode": "☃"}, "shortCode '☃' cannot be part of a path"),
        ({"shortCode": "x" * 33}, f"shortCode '{'x' * 33}' cannot be part of a path"),
    ],
)
def test_a_message_that_the_configuration_does_not_explain_is_not_believed(
    config: Config, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        seen(proposal(1, **changes), config)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000])
def test_what_is_no_json_object_is_not_believed(body: bytes) -> None:
    with pytest.raises(Unreadable, match="the message is no"):
        messages.read("PROPOSAL_UPDATED", STAMP, body, now=NOW)


def test_a_message_beyond_all_measure_is_not_read() -> None:
    with pytest.raises(Unreadable, match="larger than"):
        messages.read("PROPOSAL_UPDATED", STAMP, b" " * (messages.LARGEST + 1), now=NOW)


def test_timestamps_are_in_milliseconds_and_seconds_are_understood() -> None:
    for stamp in (STAMP, STAMP // 1000):
        state = read(proposal(1), stamp=stamp)
        assert state is not None
        assert state.at == NOW


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (None, "no timestamp"),
        (0, "no timestamp"),
        (STAMP + 11 * 60_000, "from the future"),
        (2**64 - 1, "is no time"),
    ],
)
def test_a_message_of_no_time_is_not_believed(stamp: int | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(proposal(1), stamp=stamp)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*proposal(1), *person("a"), "x"]), inner, max_size=6)
        ),
        max_leaves=20,
    )
)
def test_whatever_comes_is_either_understood_or_refused_with_a_reason(value: Any) -> None:
    try:
        read(proposal(1) | value if isinstance(value, dict) else value)
    except Unreadable as error:
        assert str(error)


def test_a_subject_never_comes_from_a_name_or_an_address(config: Config) -> None:
    twin = person("bob", oidcSub=None, email="ann@example.org", firstName="Ann")
    catalogue = seen(proposal(1, members=[twin]), config).catalogue
    assert {p.key.sub for p in catalogue.people} == {"ann"}


def test_a_proprietary_proposal_is_marked(config: Config) -> None:
    catalogue = seen(proposal(1, shortCode="900001"), config).catalogue
    assert [p.proprietary for p in catalogue.proposals] == [True]


def test_parts_are_the_portals_words(config: Config) -> None:
    assert set(config.parts.values()) == {Part.PRINCIPAL_INVESTIGATOR, Part.PARTICIPANT, None}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("amqps://broker.example.org", Address("broker.example.org", 5671, "/", True)),
        ("amqps://broker.example.org:5700/office", Address("broker.example.org", 5700, "office", True)),
        ("amqp://127.0.0.1/a%2Fb", Address("127.0.0.1", 5672, "a/b", False)),
    ],
)
def test_a_broker_is_reached_under_tls_or_on_this_machine(tmp_path: Path, url: str, found: Address) -> None:
    assert load(tmp_path, settings(url=url)).broker == found


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"url": "amqp://broker.example.org"}, "url must be an amqps address, or one on this machine"),
        ({"url": "https://broker.example.org"}, "url must be an amqps address, or one on this machine"),
        ({"url": "amqps://me:secret@broker.example.org"}, "url must be a bare address"),
        ({"url": "amqps://broker.example.org:x"}, "url has a port that is none"),
        ({"url": 5}, "url must be an amqps address"),
        ({"queue": "amq.mine"}, "queue must be letters"),
        ({"queue": ""}, "queue must be text"),
        ({"issuers": []}, "issuers must be a list"),
        ({"issuers": ["office"]}, "issuers must be the http"),
        ({"statuses": {}}, "statuses must say which"),
        ({"statuses": {"DRAFT": "none"}}, "statuses gives no status the meaning access"),
        ({"statuses": {"A": "access", "*": "access"}}, 'statuses must not give access to "*"'),
        ({"statuses": {"A": "open"}}, "statuses gives A a meaning that is none of access, closed, none"),
        ({"parts": {"referees": "participant"}}, "parts must say which of proposer, members"),
        ({"parts": {"members": "boss"}}, "parts gives members a part that is none of"),
        ({"days": 0}, "days must be a number"),
        ({"instruments": {}}, "instruments must name at least one"),
        ({"ca": "nowhere.pem"}, "ca is no file: nowhere.pem"),
        ({"password": "x"}, "there is no setting 'password'"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        load(tmp_path, settings(**changes))
    assert any(line.startswith(f"office.json: {problem}") for line in caught.value.problems), caught.value.problems


def test_statuses_that_nobody_has_thought_of_may_be_given_a_meaning(tmp_path: Path) -> None:
    config = load(tmp_path, settings(statuses={"ALLOCATED": "access", "*": "none"}))
    assert seen(proposal(1, newStatus="LIMBO"), config).catalogue == NOTHING
