"""What a catalogue takes away is told in the same transaction, and Unix ids are heard only where nobody is harmed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from auth import rights
from auth.access import Role
from auth.catalogues.base import Catalogue, Proposal, RoleGrant
from auth.catalogues.sync import take_over
from auth.models import AuditEvent, User
from auth.models import Proposal as ProposalRow
from auth.models import RoleGrant as RoleRow

from .test_catalogue_merge import catalogue, who

pytestmark = pytest.mark.django_db


@pytest.fixture
def told() -> Iterator[list[tuple[set[str], set[str]]]]:
    """Whose rights were said to have changed: people's subjects and proposals' codes."""
    heard: list[tuple[set[str], set[str]]] = []

    def hear(users: frozenset[int], proposals: frozenset[int], because: str, **_: Any) -> None:
        assert because
        people = set(User.objects.filter(pk__in=users).values_list("sub", flat=True))
        heard.append((people, set(ProposalRow.objects.filter(pk__in=proposals).values_list("code", flat=True))))

    rights.changed.connect(hear)
    yield heard
    rights.changed.disconnect(hear)


def with_proposal(found: Catalogue, **changes: Any) -> Catalogue:
    return replace(found, proposals=(replace(found.proposals[0], **changes), *found.proposals[1:]))


def test_a_first_load_takes_nothing_from_anybody(told: list[Any]) -> None:
    take_over(catalogue({"hc-1": "ab"}), source="a")
    assert told == []


def test_who_loses_a_part_or_a_role_is_told(told: list[Any]) -> None:
    role = RoleGrant(who("b"), Role.AUDITOR, "chosen")
    take_over(replace(catalogue({"hc-1": "ab"}), roles=(role,)), source="a")
    take_over(replace(catalogue({"hc-1": "b"}), roles=(role,)), source="a", force=True)
    take_over(catalogue({"hc-1": "b"}), source="a", force=True)
    assert told == [({"a"}, set()), ({"b"}, set())]


def test_who_holds_the_part_through_another_catalogue_loses_nothing(told: list[Any]) -> None:
    take_over(catalogue({"hc-1": "ab"}), source="a")
    take_over(replace(catalogue({"hc-1": "ab"}), proposals=(), experiments=(), instruments=()), source="b")
    take_over(catalogue({"hc-1": "b"}), source="a", force=True)
    assert told == []


@pytest.mark.parametrize(
    "change",
    [{"released": date(2020, 1, 1)}, {"doi": "10.5072/x"}, {"proprietary": True}],
)
def test_a_proposal_that_opens_or_closes_is_told(told: list[Any], change: dict[str, Any]) -> None:
    first = catalogue({"hc-1": "a", "hc-2": "b"})
    take_over(first, source="a")
    take_over(with_proposal(first, title="Another"), source="a")
    assert told == []
    take_over(with_proposal(first, **change), source="a")
    assert told == [(set(), {"hc-1"})]
    access = AuditEvent.objects.last().detail["access"]  # type: ignore[union-attr]
    assert any(line.startswith("change proposal hc-1: ") for line in access)


def test_an_experiment_that_moves_in_time_or_to_another_folder_is_told(told: list[Any]) -> None:
    first = catalogue({"hc-1": "a", "hc-2": "b"})
    take_over(first, source="a")
    moved = replace(first.experiments[0], end=first.experiments[0].end + timedelta(days=1))
    later = replace(first, experiments=(moved, first.experiments[1]))
    take_over(later, source="a")
    elsewhere = (replace(first.instruments[0], folder="raw/{proposal}"),)
    take_over(replace(later, instruments=elsewhere), source="a")
    assert told == [(set(), {"hc-1"}), (set(), {"hc-1", "hc-2"})]


def test_a_receiver_that_fails_undoes_the_change() -> None:
    take_over(catalogue({"hc-1": "ab"}), source="a")

    def fail(**_: Any) -> None:
        raise RuntimeError("cannot end what hangs on it")

    rights.changed.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            take_over(catalogue({"hc-1": "a"}), source="a", force=True)
    finally:
        rights.changed.disconnect(fail)
    assert User.objects.get(sub="b").participations.exists()
    assert AuditEvent.objects.count() == 1


def test_a_role_that_is_prolonged_is_no_longer_one_that_ended() -> None:
    first, now = catalogue({"hc-1": "a"}), timezone.now()
    role = RoleGrant(who("a"), Role.AUDITOR, "chosen", until=now - timedelta(days=1))
    take_over(replace(first, roles=(role,)), source="a")
    RoleRow.objects.update(ended=now)
    take_over(replace(first, roles=(replace(role, until=now + timedelta(days=1)),)), source="a")
    assert RoleRow.objects.get().ended is None


def people(found: Catalogue, **uids: int) -> Catalogue:
    return replace(found, people=tuple(replace(p, uid=uids.get(p.key.sub)) for p in found.people))


def test_the_facility_s_own_ids_are_given_to_who_is_new() -> None:
    found = people(catalogue({"hc-1": "ab"}), a=5001)
    take_over(with_proposal(found, gid=7001), source="a")
    assert User.objects.get(sub="a").uid == 5001
    assert User.objects.get(sub="b").uid in settings.LOCAL_UIDS
    assert ProposalRow.objects.get().gid == 7001
    assert not take_over(with_proposal(found, gid=7001), source="a").notes


@pytest.mark.parametrize("number", [0, 999, 2**32 - 2, settings.LOCAL_UIDS[3], settings.LOCAL_GIDS[3]])
def test_ids_of_the_machine_s_and_of_our_own_are_not_believed(number: int) -> None:
    found = people(catalogue({"hc-1": "a"}), a=number)
    diff = take_over(with_proposal(found, gid=number + 1 if number == 0 else number), source="a")
    assert any(note.startswith(f"uid {number} of a is not taken over") for note in diff.notes)
    assert User.objects.get().uid in settings.LOCAL_UIDS
    assert ProposalRow.objects.get().gid in settings.LOCAL_GIDS


def test_ids_that_two_share_are_given_to_neither() -> None:
    diff = take_over(people(catalogue({"hc-1": "abc"}), a=5001, b=5001, c=5002), source="a")
    assert len([note for note in diff.notes if "somebody else is said to have it too" in note]) == 2
    later = people(catalogue({"hc-1": "abcd"}), d=5002)
    assert take_over(later, source="a").notes == ["uid 5002 of d is not taken over: somebody else has it"]
    assert User.objects.filter(uid__in=settings.LOCAL_UIDS).count() == 3
    also = with_proposal(catalogue({"hc-1": "abcd", "hc-2": ""}), title="About hc-1")
    also = replace(also, proposals=(*also.proposals[:1], Proposal("hc-2", "Two", gid=5002)))
    assert take_over(also, source="a").notes == ["gid 5002 of hc-2 is not taken over: somebody else has it"]


def test_an_id_that_somebody_has_is_never_changed() -> None:
    take_over(catalogue({"hc-1": "a"}), source="a")
    own, group = User.objects.get().uid, ProposalRow.objects.get().gid
    diff = take_over(with_proposal(people(catalogue({"hc-1": "a"}), a=5001), gid=7001), source="a")
    assert not diff
    assert diff.notes == [
        f"uid 5001 of a is not taken over: it is {own} here, and what somebody has is not changed",
        f"gid 7001 of hc-1 is not taken over: it is {group} here, and what somebody has is not changed",
    ]
    assert (User.objects.get().uid, ProposalRow.objects.get().gid) == (own, group)
