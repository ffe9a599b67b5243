"""Only what is new is read, as far as each catalogue can tell; what that cannot show, the next whole read does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from auth.catalogues import config
from auth.catalogues.base import CatalogueUnavailable, News
from auth.catalogues.known import KnownRows
from auth.catalogues.sync import sync, take_over
from auth.models import AuditEvent, Experiment, Participation, Proposal

from .worlds import IcatWorld, SciCatWorld, Session, World

pytestmark = pytest.mark.django_db
HOUR = "2026-05-02T{:02}:00:00.000Z"


@pytest.fixture
def loaded(world: World) -> tuple[World, dict[str, Any]]:
    """A catalogue that was read whole once, and where news go on. ICAT's window begins on the fifth of May."""
    if isinstance(world, IcatWorld):
        world.settings["days_before"] = (datetime.now(UTC) - datetime(2026, 5, 5, tzinfo=UTC)).days
    source = world.source()
    sync(source)
    return world, source.cursor


def news(world: World, cursor: dict[str, Any]) -> News:
    source = world.source()
    found = source.news(cursor, KnownRows(source.name))
    assert found is not None
    take_over(found.catalogue, source=source.name, proposals=found.proposals, whole_roles=found.whole_roles)
    return found


def touch(world: World, proposal: str, hour: int = 12) -> None:
    world.facility.changed[proposal] = HOUR.format(hour)


def test_without_news_nothing_changes_and_nothing_is_written(loaded: tuple[World, dict[str, Any]]) -> None:
    world, cursor = loaded
    for _ in range(2):
        cursor = news(world, cursor).cursor
    assert AuditEvent.objects.count() == 1


def test_what_changed_is_taken_over_and_the_rest_is_not_asked_for(loaded: tuple[World, dict[str, Any]]) -> None:
    world, cursor = loaded
    world.facility.teams["IN-7"]["ann"] = "participant"
    touch(world, "IN-7")
    found = news(world, cursor)
    assert "in-7" in found.proposals
    assert "hc-2" not in found.proposals or isinstance(world, SciCatWorld)  # what changed at the same time comes again
    assert Participation.objects.filter(experiment__proposal__code="in-7", user__sub="ann").exists()
    assert Participation.objects.count() == 8
    world.facility.teams["IN-7"].pop("ann")
    touch(world, "IN-7", 13)
    news(world, found.cursor)
    assert not Participation.objects.filter(experiment__proposal__code="in-7", user__sub="ann").exists()


def test_a_new_session_of_an_old_proposal_keeps_the_old_ones(loaded: tuple[World, dict[str, Any]]) -> None:
    world, cursor = loaded
    world.facility.sessions.append(Session(9, "HC-2", "ID01", 9))
    touch(world, "HC-2")
    news(world, cursor)
    assert Experiment.objects.filter(proposal__code="hc-2").count() == 2
    assert Experiment.objects.count() == 9


def test_news_and_a_whole_read_come_to_the_same(loaded: tuple[World, dict[str, Any]]) -> None:
    world, cursor = loaded
    world.facility.teams["IN-7"] = {"ann": "principal_investigator"}
    world.facility.sessions.append(Session(9, "HC-9", "ID03", 9))
    world.facility.teams["HC-9"] = {"bob": "participant"}
    touch(world, "IN-7")
    touch(world, "HC-9")
    news(world, cursor)
    assert str(sync(world.source())) == "nothing to change"


def test_another_configuration_or_another_table_of_people_asks_for_a_whole_read(icat: IcatWorld) -> None:
    source = icat.source()
    source.read()
    assert source.news(source.cursor, KnownRows("icat")) is not None
    with (icat.folder / "users.csv").open("a") as out:
        out.write("db/dan,https://proxy.example.org,dan\n")
    assert icat.source().news(source.cursor, KnownRows("icat")) is None
    icat.settings["proprietary"] = ["hc-"]
    assert icat.source().news(source.cursor, KnownRows("icat")) is None


def test_a_session_that_icat_dropped_is_found_while_its_days_are_near(icat: IcatWorld) -> None:
    icat.settings["days_before"] = (datetime.now(UTC) - datetime(2026, 5, 5, tzinfo=UTC)).days
    source = icat.source()
    sync(source)
    del icat.facility.sessions[5]
    del icat.facility.sessions[1]
    news(icat, source.cursor)
    assert not Experiment.objects.filter(key="6").exists()
    assert Experiment.objects.filter(key="2").exists()
    sync(icat.source())
    assert not Experiment.objects.filter(key="2").exists()


def test_a_session_that_moves_to_a_proposal_far_away_is_left_to_a_whole_read(icat: IcatWorld) -> None:
    icat.settings["days_before"] = (datetime.now(UTC) - datetime(2026, 5, 8, tzinfo=UTC)).days
    source = icat.source()
    sync(source)
    moved = icat.source()
    icat.service.rows[0]["name"] = "HC-2"  # by its other session, HC-1 is still near
    assert moved.news(source.cursor, KnownRows("icat")) is None


def test_icat_asks_for_no_more_ids_than_an_address_holds(icat: IcatWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.catalogues.icat.IDS_AT_ONCE", 1)
    icat.facility.sessions += [Session(n, "HC-6", "ID01", 1) for n in range(10, 13)]
    icat.settings["days_before"] = (datetime.now(UTC) - datetime(2026, 5, 5, tzinfo=UTC)).days
    source = icat.source()
    sync(source)
    icat.service.asked.clear()
    news(icat, source.cursor)
    asked = [line for line in icat.service.asked if "ids=" in line]
    assert len(asked) == 4
    assert AuditEvent.objects.count() == 1


def test_scicat_asks_by_its_own_clock_a_little_back(scicat: SciCatWorld) -> None:
    scicat.facility.changed = {"HC-3": "2026-05-01T09:00:00.000Z"}
    source = scicat.source()
    sync(source)
    since = datetime.fromisoformat(source.cursor["since"])
    newest = datetime(2026, 5, 1, 9, tzinfo=UTC)
    assert 300 <= (newest - since).total_seconds() < 360
    assert news(scicat, source.cursor).proposals == {"hc-3"}


def test_a_proposal_that_scicat_removed_is_found_by_a_whole_read_only(scicat: SciCatWorld) -> None:
    source = scicat.source()
    sync(source)
    del scicat.facility.sessions[2]
    news(scicat, source.cursor)
    assert Proposal.objects.filter(code="hc-3").exists()
    sync(scicat.source())
    assert not Proposal.objects.filter(code="hc-3").exists()


def test_who_joins_a_group_takes_part_although_scicat_does_not_know(scicat: SciCatWorld) -> None:
    source = scicat.source()
    sync(source)
    scicat.facility.teams["HC-3"] = {"ann": "participant"}
    found = news(scicat, source.cursor | {"since": "2026-06-01T00:00:00.000+00:00"})
    assert found.proposals == {"hc-3"}
    assert Participation.objects.filter(experiment__proposal__code="hc-3").count() == 1
    del scicat.facility.teams["HC-3"]
    assert news(scicat, found.cursor | {"since": "2026-06-01T00:00:00.000+00:00"}).proposals == {"hc-3"}
    assert not Participation.objects.filter(experiment__proposal__code="hc-3").exists()


def test_a_scicat_that_does_not_tell_when_is_read_whole(scicat: SciCatWorld) -> None:
    source = scicat.source()
    del scicat.service.rows[3]["updatedAt"]
    source.read()
    assert source.cursor == {}
    assert source.news({}, KnownRows("scicat")) is None


def test_news_that_change_while_they_are_read_are_no_news(scicat: SciCatWorld) -> None:
    source = scicat.source()
    sync(source)
    again = scicat.source()
    scicat.facility.changed = dict.fromkeys(scicat.facility.proposals(), HOUR.format(12))
    scicat.service.rows = [scicat.proposal(name) for name in scicat.facility.proposals()]
    late = scicat.service.rows.pop(0)

    def grow(service: Any, number: int, answer: Any) -> Any:
        if late not in service.rows:
            service.rows.append(late)
        return answer

    scicat.service.fault = grow
    with pytest.raises(CatalogueUnavailable, match="came twice"):
        again.news(source.cursor, KnownRows("scicat"))


def test_a_fingerprint_holds_as_long_as_nothing_changes(icat: IcatWorld) -> None:
    assert config.fingerprint(icat.source().config) == config.fingerprint(icat.source().config)
