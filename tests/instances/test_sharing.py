"""Whom an owner may let in, what they may then, and how it ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from auth import rights
from auth.data import Part
from auth.models import AuditEvent, Participation, User
from instances.errors import Denied, Invalid, NotFound
from instances.models import Connection, Instance, Mail, Member
from instances.models.mail import Kind
from instances.policy import Action
from instances.services import members
from instances.services.connect import connect
from instances.services.share import share
from instances.services.unshare import unshare
from instances.services.visibility import find, visible_to
from instances.states import State
from tests import facility as facilities
from tests.facility import Facility, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def facility() -> Facility:
    return facilities.build()


@pytest.fixture
def desk(facility: Facility) -> Instance:
    return facilities.instance(facility, facility.ada)


@pytest.fixture
def mate(facility: Facility) -> User:
    """In the team of what runs."""
    return in_team(facility, "mia", "Mia Tang")


def in_team(facility: Facility, username: str, name: str, part: Part = Part.PARTICIPANT) -> User:
    made = person(username, name)
    Participation.objects.create(user=made, experiment=facility.running, part=part, source="test")
    return made


def let_in(desk: Instance, user: User, role: str = "viewer", **more: Any) -> Member:
    return share(desk.pk, acting_user=desk.owner, user=user.pk, role=role, **more)


def may(user: User, desk: Instance, action: Action) -> bool:
    try:
        find(desk.pk, actor=user.as_actor(), action=action)
    except (Denied, NotFound):
        return False
    return True


def test_whoever_is_let_in_watches_or_works_as_the_owner_says(desk: Instance, mate: User) -> None:
    assert not may(mate, desk, Action.SEE)
    let_in(desk, mate)
    assert may(mate, desk, Action.WATCH) and not may(mate, desk, Action.CONTROL)
    let_in(desk, mate, "collaborator")
    assert may(mate, desk, Action.CONTROL) and not may(mate, desk, Action.SHARE)
    assert desk in visible_to(mate.as_actor())
    unshare(desk.pk, acting_user=desk.owner, user=mate.pk)
    assert not may(mate, desk, Action.SEE)


def test_each_step_stands_in_the_trail_and_the_timeline_and_one_mail_is_sent(desk: Instance, mate: User) -> None:
    let_in(desk, mate)
    let_in(desk, mate, "collaborator")
    unshare(desk.pk, acting_user=desk.owner, user=mate.pk)
    trail = AuditEvent.objects.filter(action__in=["instance.share", "instance.unshare"]).order_by("seq")
    assert [(event.action, event.detail["role"]) for event in trail] == [
        ("instance.share", "viewer"),
        ("instance.share", "collaborator"),
        ("instance.unshare", "collaborator"),
    ]
    assert trail[1].detail["before"] == "viewer"
    assert "Ada Lind shared it with Mia Tang: control" in desk.events.values_list("message", flat=True)
    (mail,) = Mail.objects.filter(kind=Kind.SHARED)
    assert mail.to == mate and mail.facts["role"] == "viewer"


def test_only_the_teams_of_its_experiments_are_found_and_let_in(desk: Instance, mate: User, facility: Facility) -> None:
    stranger = person("sam", "Sam Mia Stranger")
    assert members.candidates(desk, "mia") == [mate]
    assert stranger not in members.candidates(desk) and desk.owner not in members.candidates(desk)
    with pytest.raises(Invalid) as refused:
        let_in(desk, stranger)
    assert refused.value.fields == {"user": "Only people of the teams of its experiments can be let in."}
    with pytest.raises(Invalid):
        let_in(desk, desk.owner)
    assert not Member.objects.exists()


def test_somebody_whose_identities_are_linked_is_found_once_by_their_account(
    desk: Instance, facility: Facility
) -> None:
    account, other = person("lin", "Lin Account"), in_team(facility, "lin2", "Lin Other")
    User.objects.filter(pk=other.pk).update(linked_to=account)
    assert members.candidates(desk, "lin") == [account]
    let_in(desk, account)
    assert may(User.objects.get(pk=other.pk), desk, Action.WATCH)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"role": "owner"}, "role"),
        ({"role": ""}, "role"),
        ({"until": timezone.now() - timedelta(days=1)}, "until"),
    ],
)
def test_what_makes_no_sense_is_said_beside_its_field(
    desk: Instance, mate: User, fields: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(Invalid) as refused:
        share(desk.pk, acting_user=desk.owner, user=mate.pk, **{"role": "viewer"} | fields)
    assert set(refused.value.fields) == {wrong}
    assert not Member.objects.exists()


def test_nobody_but_the_owner_shares_and_a_member_may_leave(desk: Instance, mate: User, facility: Facility) -> None:
    third = in_team(facility, "tom", "Tom Third")
    let_in(desk, mate, "collaborator")
    let_in(desk, third)
    for other in (mate, facility.ivy):
        with pytest.raises(Denied):
            share(desk.pk, acting_user=other, user=third.pk, role="collaborator")
        with pytest.raises(Denied):
            unshare(desk.pk, acting_user=other, user=third.pk)
    with pytest.raises(NotFound):
        share(desk.pk, acting_user=facility.eve, user=third.pk, role="viewer")
    unshare(desk.pk, acting_user=third, user=third.pk)
    assert set(desk.members.values_list("user", flat=True)) == {mate.pk}


def test_the_day_on_which_it_ends_is_kept_by_itself(desk: Instance, mate: User) -> None:
    let_in(desk, mate, until=timezone.now() + timedelta(hours=1))
    assert members.end_lapsed() == 0
    Member.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert not may(mate, desk, Action.SEE), "it holds no longer, whether anybody has acted upon it or not"
    assert members.end_lapsed() == 1
    assert not Member.objects.exists()
    assert AuditEvent.objects.get(action="instance.unshare").actor_id is None


def test_whoever_is_taken_out_of_the_team_is_out(
    desk: Instance, mate: User, django_capture_on_commit_callbacks: Any
) -> None:
    let_in(desk, mate)
    Participation.objects.filter(user=mate).delete()
    rights.announce(users={mate.pk}, because="your part in HC-1 has ended")
    assert not Member.objects.exists()
    assert "not in the team" in AuditEvent.objects.get(action="instance.unshare").because


def test_a_viewer_gets_a_ticket_for_the_desktop_to_watch_and_none_for_jupyter(
    desk: Instance, mate: User, facility: Facility
) -> None:
    let_in(desk, mate)
    assert connect(desk.pk, acting_user=mate, app="desktop", mode="watch").ticket
    with pytest.raises(Denied):
        connect(desk.pk, acting_user=mate, app="desktop", mode="control")
    notebook = facilities.instance(facility, facility.ada, environment=facility.jupyter)
    let_in(notebook, mate)
    with pytest.raises(Denied):
        connect(notebook.pk, acting_user=mate, app="jupyter")
    with pytest.raises(Invalid, match="Only a desktop can be watched"):
        connect(notebook.pk, acting_user=mate, app="jupyter", mode="watch")


def test_a_change_of_role_changes_the_seats_that_are_held(desk: Instance, mate: User) -> None:
    let_in(desk, mate)
    seat = Connection.objects.create(user=mate, instance=desk, app="desktop", mode="watch", broker="b")
    let_in(desk, mate, "collaborator")
    seat.refresh_from_db()
    assert seat.mode == "control"
    let_in(desk, mate)
    seat.refresh_from_db()
    assert seat.mode == "watch"


def test_what_is_deleted_is_shared_with_nobody_any_more(desk: Instance, mate: User) -> None:
    let_in(desk, mate)
    Instance.objects.update(state=State.DELETED)
    assert not may(mate, desk, Action.WATCH)
    with pytest.raises(Denied):
        let_in(desk, mate, "collaborator")
