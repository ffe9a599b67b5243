"""The row rule and the queryset rule give the same answer, for every persona, action and state."""

from types import MappingProxyType

import pytest

from auth.access import Actor, Role
from instances.errors import Denied, NotFound
from instances.models import Instance
from instances.policy import (
    AUDITORS_CHANGE_NOTHING,
    BLOCKED,
    SOMEBODY_ELSES,
    WITHHELD,
    Action,
    InstanceFacts,
    may,
    may_administer,
    may_audit,
    may_decide_extension,
    may_launch,
)
from instances.services.visibility import experiments_shown, facts, find, visible_to
from instances.states import State
from tests import facility as facilities
from tests.permissions.personas import PERSONAS, World, world

ALL = set(Action) - {Action.LAUNCH, Action.ADMINISTER, Action.AUDIT, Action.PIN}
PORTAL = {
    "administrator": {Action.ADMINISTER, Action.AUDIT},
    "it_support": {Action.AUDIT},
    "auditor": {Action.AUDIT},
}
PORTAL["owner_who_audits"] = PORTAL["auditor"]
OVERSEER = {Action.SEE, Action.INSPECT, Action.REVIEW, Action.STOP, Action.DELETE, Action.EXTEND, Action.ASK}
NEAR = {Action.SEE, Action.ASK}
MATRIX = {
    "owner": ALL,
    "linked_to_owner": ALL,
    "administrator": OVERSEER | PORTAL["administrator"] | {Action.PIN},
    "it_support": OVERSEER | PORTAL["it_support"],
    "auditor": {Action.SEE, Action.INSPECT, Action.REVIEW, Action.AUDIT},
    "owner_who_audits": {Action.SEE, Action.INSPECT, Action.REVIEW, Action.AUDIT},
    "scientist": NEAR,
    "contact": NEAR,
    "contact_by_role": NEAR,
    "control": {Action.SEE},
    "viewer": {Action.SEE, Action.WATCH, Action.ASK},
    "collaborator": {Action.SEE, Action.INSPECT, Action.WATCH, Action.CONTROL, Action.ASK},
}


@pytest.fixture
def around(db: None) -> World:
    return world()


@pytest.mark.django_db
def test_visible_to_is_the_twin_of_may_see(around: World, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    rows = around.instances()
    for persona in PERSONAS:
        actor = around.people[persona].as_actor()
        with django_assert_max_num_queries(1):
            seen = set(visible_to(actor))
        assert seen == {row for row in rows if may(actor, Action.SEE, facts(row))}, persona
        assert len(visible_to(actor)) == len(seen), "an instance is listed once"


@pytest.mark.django_db
def test_find_allows_what_may_allows_and_hides_what_may_not_be_seen(around: World) -> None:
    rows = [facilities.instance(around.facility, around.people["owner"], state) for state in State]
    rows[0].experiments.add(around.past, around.proprietary)
    for persona in PERSONAS:
        actor = around.people[persona].as_actor()
        for row in rows:
            subject = facts(row)
            for action in Action:
                allowed, visible = may(actor, action, subject), may(actor, Action.SEE, subject)
                assert allowed.because and (allowed or allowed.because.endswith(".")), (persona, action)
                if action in (Action.ADMINISTER, Action.AUDIT):
                    continue  # they are not about an instance
                assert answer(row, actor, action) == ("found" if allowed else "denied" if visible else "hidden")


def answer(row: Instance, actor: Actor, action: Action) -> str:
    try:
        find(row.pk, actor=actor, action=action)
    except NotFound:
        return "hidden"
    except Denied as error:
        assert str(error)
        return "denied"
    return "found"


@pytest.mark.django_db
@pytest.mark.parametrize("persona", PERSONAS)
def test_the_permission_matrix(around: World, persona: str) -> None:
    owner = "owner_who_audits" if persona == "owner_who_audits" else "owner"
    actor = around.people[persona].as_actor()
    for row in around.instances(State.READY):
        if row.owner_id == around.people[owner].pk and list(row.experiments.all()) == [around.running]:
            given = {action for action in Action if may(actor, action, facts(row))}
            assert given == MATRIX.get(persona, set())


@pytest.mark.django_db
def test_of_a_deleted_instance_there_is_only_something_to_see(around: World) -> None:
    for row in around.instances(State.DELETED):
        for persona in PERSONAS:
            actor = around.people[persona].as_actor()
            given = {action for action in Action if may(actor, action, facts(row))}
            assert given <= {Action.SEE, Action.INSPECT, Action.REVIEW, Action.ADMINISTER, Action.AUDIT}


@pytest.mark.django_db
def test_whoever_sees_an_instance_by_one_experiment_does_not_learn_of_its_others(around: World) -> None:
    row = next(row for row in around.instances(State.READY) if row.experiments.count() == 2)
    row.experiments.add(around.proprietary)
    row = Instance.objects.get(pk=row.pk)
    for persona, shown in [
        ("owner", {around.running, around.past, around.proprietary}),
        ("administrator", {around.running, around.past, around.proprietary}),
        ("scientist", {around.running, around.past}),
        ("contact", {around.running}),
        ("contact_too_late", set()),
    ]:
        assert set(experiments_shown(around.people[persona].as_actor(), row)) == shown, persona


@pytest.mark.django_db
def test_whoever_is_blocked_may_nothing_at_all(around: World) -> None:
    for persona in ("blocked_owner", "blocked_administrator"):
        actor = around.people[persona].as_actor()
        for row in around.instances(State.READY):
            for action in Action:
                decision = may(actor, action, facts(row))
                assert (decision.allowed, decision.because) == (False, BLOCKED)
        for decision in (may_launch(actor, takes_part=True), may_administer(actor), may_audit(actor)):
            assert (decision.allowed, decision.because) == (False, BLOCKED)


OWNER, GUEST, STRANGER = Actor(1, "Owner"), Actor(2, "Guest"), Actor(3, "Stranger")


def of_owner(**changes: object) -> InstanceFacts:
    return InstanceFacts(**{"id": "i", "owner_id": 1, "state": State.READY} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("membership", "given"),
    [
        ("viewer", {Action.SEE, Action.WATCH, Action.ASK}),
        ("collaborator", {Action.SEE, Action.INSPECT, Action.WATCH, Action.CONTROL, Action.ASK}),
        # An invitation makes nobody an owner, and an unknown word makes nobody anything.
        ("owner", set()),
        ("", set()),
    ],
)
def test_members_watch_and_collaborators_work(membership: str, given: set[Action]) -> None:
    subject = of_owner(members=MappingProxyType({2: membership}))
    assert {action for action in Action if may(GUEST, action, subject)} == given
    assert not may(STRANGER, Action.SEE, subject)


def test_what_is_withheld_is_shown_to_nobody_and_still_stopped_and_deleted() -> None:
    sentence = "The data of HC-1 is under embargo since today."
    subject = of_owner(withheld=sentence, members=MappingProxyType({2: "collaborator"}))
    for actor in (OWNER, GUEST):
        for action in (Action.WATCH, Action.CONTROL, Action.SHARE):
            told = sentence if actor is OWNER else WITHHELD  # the sentence speaks of the owner's experiments
            assert may(actor, action, subject).because == told
    assert may(STRANGER, Action.CONTROL, subject).because == SOMEBODY_ELSES, "it is not told why, either"
    assert all(may(OWNER, action, subject) for action in (Action.SEE, Action.STOP, Action.DELETE))


def test_administrators_decide_about_more_time_and_never_about_their_own() -> None:
    administrator = Actor(5, "Administrator", frozenset({Role.ADMINISTRATOR}), linked=frozenset({6}))
    assert may_decide_extension(administrator, asked_by=1)
    for asked_by in (5, 6):
        assert "their own request" in may_decide_extension(administrator, asked_by=asked_by).because
    for role in (Role.IT_SUPPORT, Role.AUDITOR, Role.INSTRUMENT_SCIENTIST):
        assert not may_decide_extension(Actor(7, "Staff", frozenset({role})), asked_by=1)


def test_nobody_lets_themselves_in() -> None:
    contact = Actor(4, "Contact", contact_of=frozenset({7}))
    subject = of_owner(experiments=frozenset({7}), supported=frozenset({7}))
    assert may(contact, Action.ASK, subject)
    staff = [Actor(5 + n, role, frozenset({role})) for n, role in enumerate((Role.ADMINISTRATOR, Role.IT_SUPPORT))]
    for actor in (contact, *staff):
        assert not may(actor, Action.APPROVE, subject)
        assert not may(actor, Action.SHARE, subject)
        assert not may(actor, Action.WATCH, subject)


def test_an_auditor_changes_nothing_whatever_else_they_are() -> None:
    auditor = Actor(1, "Owner", frozenset({Role.AUDITOR, Role.ADMINISTRATOR, Role.IT_SUPPORT}))
    for action in set(Action) - {Action.SEE, Action.INSPECT, Action.REVIEW, Action.AUDIT}:
        decision = may(auditor, action, of_owner())
        assert (decision.allowed, decision.because) == (False, AUDITORS_CHANGE_NOTHING), action


def test_of_several_identities_the_one_that_may_counts() -> None:
    person = Actor(2, "Guest", linked=frozenset({1}))
    assert may(person, Action.CONTROL, of_owner())
    both = Actor(2, "Guest", linked=frozenset({9}))
    assert may(both, Action.CONTROL, of_owner(members=MappingProxyType({2: "viewer", 9: "collaborator"})))
