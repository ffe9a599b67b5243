"""Handing an instance over: offered by its owner, accepted by a member, and theirs from its next start."""

import pytest

from auth.models import AuditEvent, Participation
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import Instance, Mail, Member, Quota
from instances.models.mail import Kind
from instances.policy import Action
from instances.quotas import Scope
from instances.services.invite import invite, open_ones
from instances.services.share import share
from instances.services.start import start
from instances.services.transfer import accept, decline, offer
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
    made = facilities.instance(facility, facility.ada, State.STOPPED, thumbnail=b"a picture")
    share(made.pk, acting_user=made.owner, user=facility.bob.pk, role="viewer")
    return made


def test_it_is_theirs_when_they_accept_and_its_former_owner_may_work_in_it(desk: Instance, facility: Facility) -> None:
    invite(desk.pk, acting_user=facility.ada, role="viewer")
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    assert Mail.objects.get(kind=Kind.OFFERED).to == facility.bob
    accept(desk.pk, acting_user=facility.bob)
    row = Instance.objects.get(pk=desk.pk)
    assert row.owner == facility.bob and row.thumbnail is None and not open_ones(row).exists()
    (member,) = Member.objects.all()
    assert (member.user, member.role) == (facility.ada, "collaborator")
    with pytest.raises(Denied):
        find(desk.pk, actor=facility.ada.as_actor(), action=Action.SHARE)
    event = AuditEvent.objects.get(action="instance.transfer")
    assert event.detail == {"before": facility.ada.pk, "after": facility.bob.pk}
    started = start(desk.pk, acting_user=facility.bob)
    assert started.generation == desk.generation + 1
    assert {g["experiment"] for g in started.grants} == {facility.running.pk}


def test_nobody_takes_what_is_not_offered_to_them(desk: Instance, facility: Facility) -> None:
    for taker in (facility.bob, facility.ivy):
        with pytest.raises(NotFound):
            accept(desk.pk, acting_user=taker)
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    offer(desk.pk, acting_user=facility.ada, user=None)
    with pytest.raises(NotFound):
        accept(desk.pk, acting_user=facility.bob)
    assert Instance.objects.get().owner == facility.ada


def test_it_is_offered_by_its_owner_to_a_member_of_the_team_only(desk: Instance, facility: Facility) -> None:
    with pytest.raises(Invalid):
        offer(desk.pk, acting_user=facility.ada, user=facility.eve.pk)
    for other in (facility.bob, facility.ivy):
        with pytest.raises(Denied):
            offer(desk.pk, acting_user=other, user=facility.bob.pk)


def test_whoever_declines_stays_a_member(desk: Instance, facility: Facility) -> None:
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    decline(desk.pk, acting_user=facility.bob)
    with pytest.raises(NotFound):
        accept(desk.pk, acting_user=facility.bob)
    assert Member.objects.get().user == facility.bob


def test_what_runs_does_not_change_hands(desk: Instance, facility: Facility) -> None:
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    Instance.objects.update(state=State.READY)
    with pytest.raises(Conflict, match="stopped"):
        accept(desk.pk, acting_user=facility.bob)


def test_who_may_not_see_its_data_cannot_take_it_over(desk: Instance, facility: Facility) -> None:
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    Participation.objects.filter(user=facility.bob).delete()
    with pytest.raises(Denied):
        accept(desk.pk, acting_user=facility.bob)
    assert Instance.objects.get().owner == facility.ada


def test_their_quota_counts(desk: Instance, facility: Facility) -> None:
    offer(desk.pk, acting_user=facility.ada, user=facility.bob.pk)
    Quota.objects.create(scope=Scope.PERSON, user=facility.bob, instances=0, because="test")
    with pytest.raises(Invalid):
        accept(desk.pk, acting_user=facility.bob)
    assert Instance.objects.get().owner == facility.ada
