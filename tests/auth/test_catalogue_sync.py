"""From a catalogue to the portal's rows: all or nothing, once, and with care about what is gone."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from auth.catalogues.diff import MassRemoval
from auth.catalogues.files import Files
from auth.catalogues.sync import sync
from auth.models import AuditEvent, Experiment, Instrument, Participation, Proposal, RoleGrant, User
from tests import facility as facilities

from .tables import write

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


@pytest.fixture
def catalogues(folder: Path, settings: Settings) -> None:
    """The folder is this facility's only catalogue."""
    file = folder / "catalogues.json"
    file.write_text(json.dumps([{"name": "files", "kind": "files", "folder": "."}]))
    settings.CATALOGUES = str(file)


def edit(folder: Path, name: str, old: str, new: str = "") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_a_catalogue_is_taken_over_with_one_audit_row(folder: Path) -> None:
    diff = sync(Files(folder))
    assert Instrument.objects.count() == Proposal.objects.count() == Experiment.objects.count() == 2
    assert set(User.objects.values_list("name", "username", "email")) == {
        ("Ann", "ann", ""),
        ("Bob", "bobby", "bob@example.org"),
    }
    assert Experiment.objects.get(key="e2").folder == "raw/in-2/20261020"
    assert set(RoleGrant.objects.values_list("role", "instrument__code", "source")) == {
        ("instrument_scientist", "id01", "catalogue:files"),
        ("auditor", None, "catalogue:files"),
    }
    event = AuditEvent.objects.get()
    assert (event.action, event.target) == ("catalogue.sync", "catalogue:files")
    assert event.detail["counts"] == diff.counts
    assert "add participation Ann (a@example.org) principal_investigator e1" in event.detail["access"]


def test_the_same_catalogue_again_changes_nothing_and_leaves_no_row(folder: Path) -> None:
    sync(Files(folder))
    assert str(sync(Files(folder))) == "nothing to change"
    assert AuditEvent.objects.count() == 1


def test_a_dry_run_tells_and_does_nothing(folder: Path) -> None:
    assert "add proposal hc-1" in str(sync(Files(folder), dry_run=True))
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()


def test_what_changed_is_changed_and_what_is_gone_goes(folder: Path) -> None:
    sync(Files(folder))
    edit(folder, "proposals.csv", "2030-01-01", "2031-01-01")
    edit(folder, "participations.csv", "e1,bob,participant\n")
    edit(folder, "roles.csv", "ann,auditor,,chosen\n")
    edit(folder, "experiments.csv", "e2,in-2,id02,Second,2026-10-20T08:00:00Z,2026-10-23T08:00:00Z\n")
    edit(folder, "proposals.csv", "in-2,Two,,yes,\n")
    text = str(sync(Files(folder)))
    assert "change proposal hc-1: released 2030-01-01 -> 2031-01-01" in text
    assert [str(p) for p in Proposal.objects.all()] == ["HC-1"]
    assert not Participation.objects.filter(user__name="Bob").exists()
    assert not RoleGrant.objects.filter(user__name="Ann").exists()
    assert User.objects.count() == 2
    assert not sync(Files(folder))


def test_roles_from_elsewhere_are_not_touched(folder: Path) -> None:
    sync(Files(folder))
    ann = User.objects.get(name="Ann")
    RoleGrant.objects.create(user=ann, role="administrator", because="by hand", source="greta")
    sync(Files(folder))
    assert RoleGrant.objects.filter(source="greta").exists()


def test_somebody_who_has_signed_in_is_called_as_their_provider_says(folder: Path) -> None:
    sync(Files(folder))
    User.objects.filter(name="Ann").update(name="Anne Marie", last_login=timezone.now())
    edit(folder, "people.csv", ",Bob,", ",Robert,")
    sync(Files(folder))
    assert set(User.objects.values_list("name", flat=True)) == {"Anne Marie", "Robert"}
    assert set(User.objects.values_list("username", flat=True)) == {"ann", "bobby"}


def test_one_mistake_and_nothing_is_taken_over(folder: Path, catalogues: None) -> None:
    edit(folder, "roles.csv", "auditor", "emperor")
    with pytest.raises(CommandError, match=r"(?s)Nothing was changed.*roles\.csv:3: role must be one of"):
        call_command("sync_catalogue", "files")
    assert not User.objects.exists()


def more(folder: Path, number: int) -> None:
    with (folder / "participations.csv").open("a") as out, (folder / "people.csv").open("a") as people:
        for n in range(number):
            people.write(f"p{n},https://proxy.example.org,p{n}@example.org,Person {n},,\n")
            out.write(f"e2,p{n},participant\n")


@pytest.mark.parametrize(
    "lose",
    [
        lambda folder: edit(folder, "participations.csv", "e1,ann,principal_investigator\ne1,bob,participant\n"),
        lambda folder: (
            (folder / "experiments.csv").write_text("key,proposal,instrument,title,start,end\n"),
            (folder / "participations.csv").write_text("experiment,person,part\n"),
        ),
    ],
)
def test_a_catalogue_that_says_there_is_nothing_is_not_believed(folder: Path, lose: Callable[[Path], object]) -> None:
    sync(Files(folder))
    lose(folder)
    with pytest.raises(MassRemoval, match="--force"):
        sync(Files(folder))
    assert Participation.objects.count() == Experiment.objects.count() == 2
    sync(Files(folder), force=True)
    assert not Participation.objects.exists()
    assert AuditEvent.objects.last().because == "forced"  # type: ignore[union-attr]


def test_a_catalogue_that_lost_a_great_deal_is_not_believed(folder: Path, catalogues: None) -> None:
    sync(Files(folder))
    few = (folder / "participations.csv").read_text()
    more(folder, 8)
    sync(Files(folder))
    (folder / "participations.csv").write_text(few)
    with pytest.raises(CommandError, match="8 of 10 rows of kind participation would go"):
        call_command("sync_catalogue", "files")
    out = StringIO()
    call_command("sync_catalogue", "files", force=True, stdout=out)
    assert out.getvalue().count("remove participation") == 8


def test_an_experiment_that_instances_refer_to_stays_and_is_closed(folder: Path) -> None:
    sync(Files(folder))
    facility = facilities.build()
    instance = facilities.instance(facility, facility.ada)
    instance.experiments.set([Experiment.objects.get(key="e1")])
    for name, old in [
        ("participations.csv", "e1,ann,principal_investigator\ne1,bob,participant\n"),
        ("experiments.csv", "e1,hc-1,id01,First,2026-11-20T08:00:00+01:00,2026-11-23T08:00:00+01:00\n"),
        ("proposals.csv", 'hc-1,"One, with a comma","two\nlines",no,2030-01-01\n'),
    ]:
        edit(folder, name, old)
    text = str(sync(Files(folder), force=True))
    assert "keep experiment e1: instances refer to it" in text
    assert not Participation.objects.filter(experiment__key="e1").exists()
    assert Proposal.objects.get(code="hc-1").released is None
    assert not sync(Files(folder), force=True)
