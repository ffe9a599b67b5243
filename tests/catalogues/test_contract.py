"""What every catalogue promises, whatever it is made of."""

from datetime import UTC, date, datetime

import pytest

from auth.catalogues.base import Catalogue, PersonKey
from auth.catalogues.diff import MassRemoval
from auth.catalogues.sync import sync
from auth.data import Part
from auth.models import AuditEvent, Experiment, Participation, Proposal, User

from .worlds import ISS, PEOPLE, World, times


def facts(catalogue: Catalogue) -> dict[str, object]:
    """Without what is each catalogue's own: keys, order, and how an instrument is called in full."""
    sessions = {e.key: (e.proposal, e.instrument, e.start, e.end, e.title) for e in catalogue.experiments}
    return {
        "instruments": {(i.code, i.folder) for i in catalogue.instruments},
        "people": {(p.key, p.name) for p in catalogue.people},
        "proposals": {(p.code, p.title, p.proprietary, p.released) for p in catalogue.proposals},
        "sessions": set(sessions.values()),
        "parts": {(sessions[p.experiment], p.person, p.part) for p in catalogue.participations},
    }


def test_it_says_what_is_so(world: World) -> None:
    catalogue = world.source().read()
    found = facts(catalogue)
    title = world.facility.title
    assert found["people"] == {(PersonKey(ISS, who), name) for who, name in PEOPLE.items()}
    assert {code for code, _ in found["instruments"]} == {"id01", "id02"}  # type: ignore[attr-defined]
    assert found["proposals"] == {
        ("hc-1", title("HC-1"), False, date(2024, 1, 1)),
        *((f"hc-{n}", title(f"HC-{n}"), False, None) for n in range(2, 7)),
        ("in-7", title("IN-7"), True, None),
    }
    sessions = {
        s.number: (
            s.proposal.lower(),
            s.instrument.lower(),
            *(datetime.fromisoformat(time).astimezone(UTC) for time in times(s)),
            title(s.proposal),
        )
        for s in world.facility.sessions
    }
    assert found["sessions"] == set(sessions.values())
    assert found["parts"] == {
        (sessions[s.number], PersonKey(ISS, who), Part(part))
        for s in world.facility.sessions
        for who, part in world.facility.teams.get(s.proposal, {}).items()
    }


def test_every_reference_within_it_holds(world: World) -> None:
    catalogue = world.source().read()
    people, keys = {p.key for p in catalogue.people}, [e.key for e in catalogue.experiments]
    assert len(set(keys)) == len(keys)
    assert {p.experiment for p in catalogue.participations} <= set(keys)
    assert {p.person for p in catalogue.participations} <= people
    assert {e.proposal for e in catalogue.experiments} == {p.code for p in catalogue.proposals}
    assert {e.instrument for e in catalogue.experiments} <= {i.code for i in catalogue.instruments}


@pytest.mark.django_db
def test_the_same_again_changes_nothing(world: World) -> None:
    assert sync(world.source())
    assert str(sync(world.source())) == "nothing to change"
    event = AuditEvent.objects.get()
    assert event.target == f"catalogue:{world.source().name}"


@pytest.mark.django_db
def test_the_same_in_another_order_changes_nothing(world: World) -> None:
    sync(world.source())
    world.facility.sessions.reverse()
    assert str(sync(world.source())) == "nothing to change"


@pytest.mark.django_db
def test_a_dry_run_changes_nothing(world: World) -> None:
    assert "add proposal hc-1" in str(sync(world.source(), dry_run=True))
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
def test_who_leaves_a_team_loses_their_part(world: World) -> None:
    sync(world.source())
    del world.facility.teams["HC-1"]["bob"]
    text = str(sync(world.source()))
    assert text.count("remove participation Bob (bob) participant") == 2 == len(text.splitlines())
    assert User.objects.filter(sub="bob").exists()


@pytest.mark.django_db
def test_an_embargo_that_begins_is_taken_over(world: World) -> None:
    sync(world.source())
    del world.facility.released["HC-1"]
    sync(world.source())
    assert Proposal.objects.get(code="hc-1").released is None


@pytest.mark.django_db
def test_a_catalogue_that_lost_a_great_deal_is_not_believed(world: World) -> None:
    sync(world.source())
    del world.facility.sessions[3:]
    with pytest.raises(MassRemoval):
        sync(world.source())
    assert Experiment.objects.count() == 8
    sync(world.source(), force=True)
    assert Experiment.objects.count() == 3


@pytest.mark.django_db
def test_a_catalogue_that_is_suddenly_empty_is_not_believed(world: World) -> None:
    sync(world.source())
    world.facility.sessions.clear()
    world.facility.teams.clear()
    with pytest.raises(MassRemoval):
        sync(world.source())
    assert Participation.objects.count() == 7
