"""Invitations: a code that works once, for the team or, where a facility lets owners confirm it, for anybody."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from auth import rights
from auth.models import AuditEvent, Participation
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import Instance, Invitation, Member
from instances.policy import Action
from instances.services.invite import OPEN_AT_ONCE, come_in, invite, open_ones, take_back
from instances.services.unshare import unshare
from instances.services.visibility import find
from instances.states import State
from tests import facility as facilities
from tests.facility import Facility

pytestmark = pytest.mark.django_db


@pytest.fixture
def facility() -> Facility:
    return facilities.build()


@pytest.fixture
def desk(facility: Facility) -> Instance:
    return facilities.instance(facility, facility.ada)


def code_for(desk: Instance, **more: object) -> str:
    return invite(desk.pk, acting_user=desk.owner, **({"role": "viewer"} | more))[1]  # type: ignore[arg-type]


def in_days(days: float) -> object:
    return timezone.now() + timedelta(days=days)


def test_it_lets_one_person_of_the_team_in_once(desk: Instance, facility: Facility) -> None:
    code = code_for(desk, role="collaborator")
    member = come_in(code, acting_user=facility.bob)
    assert (member.role, member.basis, member.user) == ("collaborator", "team", facility.bob)
    assert find(desk.pk, actor=facility.bob.as_actor(), action=Action.CONTROL)
    unshare(desk.pk, acting_user=desk.owner, user=facility.bob.pk)
    with pytest.raises(Conflict, match="not valid"):
        come_in(code, acting_user=facility.bob)
    trail = AuditEvent.objects.filter(action__startswith="invitation.").order_by("seq")
    assert [event.action for event in trail] == ["invitation.make", "invitation.use"]
    assert code not in str([event.detail for event in trail])


def test_who_is_in_no_team_is_refused_and_the_invitation_stays(desk: Instance, facility: Facility) -> None:
    code = code_for(desk)
    with pytest.raises(Conflict, match="in none of them"):
        come_in(code, acting_user=facility.eve)
    assert open_ones(desk).count() == 1
    come_in(code, acting_user=facility.bob)


def test_a_facility_that_refuses_outsiders_lets_nobody_confirm_it(
    desk: Instance, facility: Facility, settings: LazySettings
) -> None:
    with pytest.raises(Invalid) as refused:
        code_for(desk, outside=True, until=in_days(3))
    assert set(refused.value.fields) == {"outside"}
    settings.SHARE_OUTSIDE = "confirm"
    code = code_for(desk, outside=True, until=in_days(3))
    settings.SHARE_OUTSIDE = "refuse"
    with pytest.raises(Conflict, match="in none of them"):
        come_in(code, acting_user=facility.eve)


def test_where_owners_may_confirm_it_anybody_comes_in_for_at_most_a_month_and_the_trail_says_so(
    desk: Instance, facility: Facility, settings: LazySettings
) -> None:
    settings.SHARE_OUTSIDE = "confirm"
    for until in (None, in_days(31)):
        with pytest.raises(Invalid) as refused:
            code_for(desk, outside=True, until=until)
        assert set(refused.value.fields) == {"until"}
    come_in(code_for(desk, outside=True, until=in_days(3)), acting_user=facility.eve)
    assert Member.objects.get().basis == "invited"
    event = AuditEvent.objects.get(action="invitation.use")
    assert event.detail["outside"] == [facility.running.proposal.code]
    rights.announce(users=[facility.eve.pk], because="her parts have changed")
    assert Member.objects.exists()


def test_who_came_in_as_one_of_the_team_is_out_with_it(desk: Instance, facility: Facility) -> None:
    come_in(code_for(desk), acting_user=facility.bob)
    Participation.objects.filter(user=facility.bob).delete()
    rights.announce(users=[facility.bob.pk], because="his part has ended")
    assert not Member.objects.exists()


def test_what_was_taken_back_or_is_too_old_is_not_valid(desk: Instance, facility: Facility) -> None:
    made, code = invite(desk.pk, acting_user=desk.owner, role="viewer")
    for other in (facility.bob, facility.ivy):
        with pytest.raises((NotFound, Denied)):
            take_back(made.pk, acting_user=other)
    take_back(made.pk, acting_user=desk.owner)
    with pytest.raises(NotFound):
        take_back(made.pk, acting_user=desk.owner)
    old = code_for(desk)
    Invitation.objects.filter(used=None, ended=None).update(expires=timezone.now())
    for one in (code, old, "", "nonsense"):
        with pytest.raises(Conflict, match="not valid"):
            come_in(one, acting_user=facility.bob)


def test_it_opens_nothing_that_is_one_s_own_shared_already_or_deleted(desk: Instance, facility: Facility) -> None:
    code = code_for(desk)
    with pytest.raises(Conflict, match="your own"):
        come_in(code, acting_user=desk.owner)
    come_in(code, acting_user=facility.bob)
    again = code_for(desk)
    with pytest.raises(Conflict, match="already"):
        come_in(again, acting_user=facility.bob)
    Instance.objects.update(state=State.DELETED)
    with pytest.raises(Conflict, match="not valid"):
        come_in(again, acting_user=facility.bob)


def test_only_the_owner_makes_some_and_not_without_end(desk: Instance, facility: Facility) -> None:
    come_in(code_for(desk, role="collaborator"), acting_user=facility.bob)
    for other in (facility.bob, facility.ivy):
        with pytest.raises(Denied):
            invite(desk.pk, acting_user=other, role="viewer")
    for _ in range(OPEN_AT_ONCE):
        code_for(desk)
    with pytest.raises(Conflict, match="Take one back"):
        code_for(desk)
