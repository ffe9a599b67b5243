"""Asking an owner to be let in: who may, who answers, and what happens while the owner is away."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.utils import timezone

from auth import rights
from auth.access import Role
from auth.data import Part
from auth.models import AuditEvent, Participation, RoleGrant, User
from instances import away
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import AccessRequest, Connection, Instance, Mail, Member
from instances.models.access_request import Answer
from instances.models.mail import Kind
from instances.policy import Action, Capacity
from instances.services import members, requests
from instances.services.answer import answer
from instances.services.ask import MOST, ask, withdraw
from instances.services.share import share
from instances.services.unshare import unshare
from instances.services.visibility import find
from instances.states import State
from tests import facility as facilities
from tests.facility import Facility, person

pytestmark = pytest.mark.django_db
WHY = "The detector is off, may I look?"


@pytest.fixture
def facility() -> Facility:
    return facilities.build()


@pytest.fixture
def desk(facility: Facility) -> Instance:
    return facilities.instance(facility, facility.ada)


@pytest.fixture
def lotte(facility: Facility) -> User:
    """Local contact of what runs."""
    made = person("lotte", "Lotte Berg")
    Participation.objects.create(user=made, experiment=facility.running, part=Part.LOCAL_CONTACT, source="test")
    return made


def comes(desk: Instance) -> Connection:
    return Connection.objects.create(user=desk.owner, instance=desk, app="desktop", mode="control", broker="test")


def may(user: User, desk: Instance, action: Action) -> bool:
    try:
        find(desk.pk, actor=user.as_actor(), action=action)
    except (Denied, NotFound):
        return False
    return True


def asked(desk: Instance, user: User, **more: Any) -> AccessRequest:
    return ask(desk.pk, acting_user=user, reason=WHY, **more)


def replied(request: AccessRequest, desk: Instance, what: str, **more: Any) -> AccessRequest:
    return answer(request.pk, acting_user=desk.owner, answer=what, **more)


def test_a_local_contact_is_let_in_for_a_time_and_out_after_it(desk: Instance, lotte: User) -> None:
    assert may(lotte, desk, Action.SEE) and not may(lotte, desk, Action.WATCH)
    request = asked(desk, lotte)
    assert request.capacity == Capacity.LOCAL_CONTACT and not may(lotte, desk, Action.WATCH)
    replied(request, desk, "watch", minutes=30)
    assert may(lotte, desk, Action.WATCH) and not may(lotte, desk, Action.CONTROL)
    Member.objects.update(until=timezone.now())
    assert not may(lotte, desk, Action.WATCH)
    assert members.end_lapsed() == 1


@pytest.mark.parametrize(("what", "watches", "works"), [("control", True, True), ("no", False, False)])
def test_the_owner_s_answer_is_what_holds(desk: Instance, lotte: User, what: str, watches: bool, works: bool) -> None:
    replied(asked(desk, lotte), desk, what)
    assert (may(lotte, desk, Action.WATCH), may(lotte, desk, Action.CONTROL)) == (watches, works)


def test_the_owner_ends_it_with_one_call(desk: Instance, lotte: User) -> None:
    replied(asked(desk, lotte), desk, "control")
    unshare(desk.pk, acting_user=desk.owner, user=lotte.pk)
    assert not may(lotte, desk, Action.WATCH)


def test_nobody_else_answers_not_even_whoever_looks_after_all_instances(
    desk: Instance, lotte: User, facility: Facility
) -> None:
    request = asked(desk, lotte)
    for other in (lotte, facility.ivy, facility.bob):
        with pytest.raises((Denied, NotFound)):
            answer(request.pk, acting_user=other, answer="control")
    assert not Member.objects.exists()


def test_a_request_is_answered_once(desk: Instance, lotte: User) -> None:
    request = asked(desk, lotte)
    replied(request, desk, "no")
    with pytest.raises(Conflict):
        replied(request, desk, "control")
    assert not may(lotte, desk, Action.WATCH)


def test_strangers_and_the_instrument_s_control_cannot_ask(desk: Instance, facility: Facility) -> None:
    with pytest.raises(NotFound):
        asked(desk, facility.eve)
    RoleGrant.objects.create(
        user=facility.eve,
        role=Role.INSTRUMENT_CONTROL,
        instrument=facility.running.instrument,
        because="test",
        source="test",
    )
    with pytest.raises(Denied):
        asked(desk, User.objects.get(pk=facility.eve.pk))


@pytest.mark.parametrize(
    ("fields", "wrong"), [({"reason": "hm"}, "reason"), ({"reason": "x" * 301}, "reason"), ({"wish": "own"}, "wish")]
)
def test_what_makes_no_sense_is_said_beside_its_field(
    desk: Instance, lotte: User, fields: dict[str, str], wrong: str
) -> None:
    with pytest.raises(Invalid) as refused:
        ask(desk.pk, acting_user=lotte, **({"reason": WHY} | fields))
    assert set(refused.value.fields) == {wrong}
    request = asked(desk, lotte)
    with pytest.raises(Invalid) as refused:
        replied(request, desk, "perhaps", minutes=7)
    assert set(refused.value.fields) == {"answer", "minutes"}


def test_one_request_at_a_time_and_few_in_an_hour(desk: Instance, lotte: User) -> None:
    request = asked(desk, lotte)
    with pytest.raises(Conflict, match="asked already"):
        asked(desk, lotte)
    withdraw(request.pk, acting_user=lotte)
    for _ in range(MOST - 1):
        replied(asked(desk, lotte), desk, "no")
    with pytest.raises(Conflict, match="several times"):
        asked(desk, lotte)


def test_only_one_s_own_request_is_withdrawn(desk: Instance, lotte: User, facility: Facility) -> None:
    request = asked(desk, lotte)
    with pytest.raises(NotFound):
        withdraw(request.pk, acting_user=facility.bob)
    assert AccessRequest.objects.get().answered is None


def test_what_does_not_run_cannot_be_looked_at(desk: Instance, lotte: User) -> None:
    Instance.objects.update(state=State.STOPPED)
    with pytest.raises(Conflict, match="does not run"):
        asked(desk, lotte)


def test_whoever_watches_raises_a_hand_for_control_and_keeps_their_end(desk: Instance, facility: Facility) -> None:
    end = timezone.now() + timedelta(days=3)
    share(desk.pk, acting_user=desk.owner, user=facility.bob.pk, role="viewer", until=end)
    with pytest.raises(Conflict, match="already"):
        asked(desk, facility.bob)
    request = asked(desk, facility.bob, wish="control")
    assert request.capacity == Capacity.MEMBER
    replied(request, desk, "control")
    member = Member.objects.get()
    assert (member.role, member.until, member.basis) == ("collaborator", end, "team")


def test_each_step_stands_in_the_trail_with_what_else_they_see(desk: Instance, lotte: User, facility: Facility) -> None:
    desk.experiments.add(facility.other)
    replied(asked(desk, lotte), desk, "watch")
    asking, answered = AuditEvent.objects.filter(action__startswith="access.").order_by("seq")
    assert asking.because == WHY and asking.detail["capacity"] == "local_contact"
    assert answered.detail["answer"] == "watch"
    assert asking.detail["outside"] == answered.detail["outside"] == [facility.other.proposal.code]
    assert "Ada Lind let Lotte Berg watch it" in desk.events.values_list("message", flat=True)


def test_an_owner_who_is_there_gets_no_mail_and_one_who_is_away_gets_one(desk: Instance, lotte: User) -> None:
    seat = comes(desk)
    withdraw(asked(desk, lotte).pk, acting_user=lotte)
    assert not Mail.objects.filter(kind=Kind.ACCESS_ASKED).exists()
    Connection.objects.filter(pk=seat.pk).update(closed=timezone.now() - timedelta(minutes=1))
    asked(desk, lotte)
    (mail,) = Mail.objects.filter(kind=Kind.ACCESS_ASKED)
    assert mail.to == desk.owner and mail.facts["capacity"] == "local contact"


def test_without_a_rule_nobody_is_let_in_however_long_they_wait(desk: Instance, lotte: User) -> None:
    asked(desk, lotte)
    AccessRequest.objects.update(asked=timezone.now() - requests.PATIENCE + timedelta(minutes=1))
    assert requests.end_waiting() == 0
    AccessRequest.objects.update(asked=timezone.now() - requests.PATIENCE)
    assert requests.end_waiting() == 1
    assert AccessRequest.objects.get().answer == Answer.LAPSED
    assert not may(lotte, desk, Action.WATCH)


def test_a_rule_lets_watch_after_a_while_if_the_owner_is_away_and_tells_them(
    desk: Instance, lotte: User, settings: LazySettings
) -> None:
    settings.WHEN_AWAY = away.parse({"local_contact": "watch:10"})
    asked(desk, lotte, wish="control")
    assert requests.end_waiting() == 0
    AccessRequest.objects.update(asked=timezone.now() - timedelta(minutes=10))
    seat = comes(desk)
    assert requests.end_waiting() == 0
    Connection.objects.filter(pk=seat.pk).update(closed=timezone.now() - timedelta(minutes=1))
    assert requests.end_waiting() == 1
    assert may(lotte, desk, Action.WATCH) and not may(lotte, desk, Action.CONTROL)
    member = Member.objects.get()
    assert member.until and member.until <= timezone.now() + requests.LOOK
    (mail,) = Mail.objects.filter(kind=Kind.ACCESS_GIVEN)
    assert mail.to == desk.owner
    event = AuditEvent.objects.get(action="access.answer")
    assert event.actor is None and event.because.startswith("The facility’s rule")


def test_a_rule_may_let_in_at_once(desk: Instance, lotte: User, settings: LazySettings) -> None:
    settings.WHEN_AWAY = away.parse({"local_contact": "allow", "it_support": "deny"})
    comes(desk)
    request = asked(desk, lotte)
    assert not may(lotte, desk, Action.WATCH)
    withdraw(request.pk, acting_user=lotte)
    Connection.objects.update(closed=timezone.now() - timedelta(minutes=1))
    asked(desk, lotte)
    assert may(lotte, desk, Action.WATCH)
    assert not Mail.objects.filter(kind=Kind.ACCESS_ASKED).exists()


def test_who_does_not_look_after_it_any_longer_is_out(desk: Instance, lotte: User) -> None:
    replied(asked(desk, lotte), desk, "control", minutes=480)
    Participation.objects.filter(user=lotte).delete()
    rights.announce(users=[lotte.pk], because="your part has ended")
    assert not Member.objects.exists()


def test_somebody_of_the_team_is_not_out_because_a_local_contact_is(
    desk: Instance, lotte: User, facility: Facility
) -> None:
    share(desk.pk, acting_user=desk.owner, user=facility.bob.pk, role="viewer")
    replied(asked(desk, lotte), desk, "watch")
    rights.announce(proposals=[facility.running.proposal_id], because="its dates have changed")
    assert Member.objects.count() == 2


@pytest.mark.parametrize(
    "rules",
    [
        {"owner": "allow"},
        {"member": "allow"},
        {"it_support": "watch"},
        {"it_support": "watch:0"},
        {"it_support": "yes"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rules: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="VISA_WHEN_AWAY"):
        away.parse(rules)
