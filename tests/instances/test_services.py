"""What people can do with instances, and what each doing leaves behind."""

from typing import Any

import pytest
from django.db import connection

from auth.models import AuditEvent
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.models import Instance, Ticket
from instances.services.connect import connect
from instances.services.delete import delete
from instances.services.describe import describe
from instances.services.launch import launch
from instances.services.options import flavour_choices, launch_options
from instances.services.restart import restart
from instances.services.start import start
from instances.services.stop import stop
from instances.states import Desired, State
from tests.facility import Facility, instance


def ask(facility: Facility, **changes: Any) -> dict[str, Any]:
    return {
        "experiments": [facility.running.pk],
        "environment": "desktop",
        "flavour": "s",
        "display": {"layout": "dual"},
    } | changes


def actions() -> list[str]:
    return list(AuditEvent.objects.values_list("action", flat=True))


def jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")
        return int(cursor.fetchone()[0])


def test_a_launch_leaves_a_row_an_audit_event_a_first_step_and_a_wake_up(facility: Facility) -> None:
    made = launch(acting_user=facility.ada, name=" Rings ", **ask(facility))
    assert (made.state, made.desired, made.name) == (State.QUEUED, Desired.RUNNING, "Rings")
    assert [grant["mode"] for grant in made.grants] == ["read", "read-write", "read-write"]
    assert made.display["screens"] == [{"width": 1920, "height": 1080}] * 2
    assert actions() == ["instance.launch"]
    assert [event.step for event in made.events.all()] == ["queued"]
    assert jobs() == 1


def test_the_last_choices_are_remembered(facility: Facility) -> None:
    launch(acting_user=facility.ada, **ask(facility))
    facility.ada.refresh_from_db()
    remembered = launch_options(acting_user=facility.ada).remembered
    assert (remembered["environment"], remembered["flavour"]) == ("desktop", "s")
    assert remembered["display"]["layout"] == "dual"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"environment": "windows"}, "environment"),
        ({"flavour": "gpu.a40"}, "flavour"),
        ({"flavour": "none"}, "flavour"),
        ({"display": {"layout": "triple"}}, "display"),
        ({"display": {"screens": [{"width": 99999, "height": 5}]}}, "display"),
        ({"display": {"screens": ["x"]}}, "display"),
        ({"display": {"keyboard": "$(reboot)"}}, "display"),
        ({"name": "x" * 101}, "name"),
        ({"notes": "x" * 2001}, "notes"),
        ({"experiments": []}, "experiments"),
        ({"experiments": [987654]}, "experiments"),
    ],
)
def test_bad_input_gets_a_sentence_at_its_field_and_changes_nothing(
    facility: Facility, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        launch(acting_user=facility.ada, **ask(facility, **changes))
    assert refused.value.fields[field].endswith(".")
    assert not Instance.objects.exists() and not actions() and not jobs()


def test_another_team_s_experiment_is_refused_with_the_reason(facility: Facility) -> None:
    with pytest.raises(Invalid, match="not on the team of HC-2"):
        launch(acting_user=facility.ada, **ask(facility, experiments=[facility.running.pk, facility.other.pk]))


def test_somebody_without_experiments_can_launch_nothing_not_even_for_open_data(facility: Facility) -> None:
    for experiments in ([], [facility.open.pk], [facility.running.pk]):
        with pytest.raises(Denied, match="You take part in no experiment"):
            launch(acting_user=facility.eve, **ask(facility, experiments=experiments))
    assert not launch_options(acting_user=facility.eve).decision


def test_an_auditor_can_launch_nothing(facility: Facility) -> None:
    with pytest.raises(Denied, match="auditor"):
        launch(acting_user=facility.aud, **ask(facility))


def test_open_data_comes_read_only_and_raw_only(facility: Facility) -> None:
    made = launch(acting_user=facility.ada, **ask(facility, experiments=[facility.running.pk, facility.open.pk]))
    opened = [grant for grant in made.grants if grant["proposal"] == "ES-3"]
    assert [(grant["path"].rsplit("/")[-1], grant["mode"]) for grant in opened] == [("RAW_DATA", "read")]


def test_flavours_that_no_cloud_has_are_shown_with_the_reason(facility: Facility) -> None:
    offered = {choice.flavour.slug: choice for choice in flavour_choices([], acting_user=facility.ada)}
    assert offered["s"].available
    assert not offered["gpu.a40"].available and "no configured cloud has A40 GPUs" in offered["gpu.a40"].because


def test_environments_without_their_software_are_shown_with_the_reason(facility: Facility) -> None:
    facility.cloud.capacity |= {"images": ["desktop"], "notes": ["Limits on memory are not enforced on this machine."]}
    facility.cloud.save()
    options = launch_options(acting_user=facility.ada)
    assert [(choice.environment.slug, choice.available) for choice in options.environments] == [
        ("desktop", True),
        ("jupyter", False),
    ]
    assert "no cloud has its software" in options.environments[1].because
    assert options.notes == ["Limits on memory are not enforced on this machine."]
    with pytest.raises(Invalid, match="its software is not installed there"):
        launch(acting_user=facility.ada, **ask(facility, environment="jupyter"))


def test_stopping_starting_restarting_and_deleting_are_audited_with_their_actor(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    restart(row.pk, acting_user=facility.ada)
    Instance.objects.filter(pk=row.pk).update(state=State.READY)
    stop(row.pk, acting_user=facility.ivy)
    Instance.objects.filter(pk=row.pk).update(state=State.STOPPED)
    assert start(row.pk, acting_user=facility.ada).generation == 3
    delete(row.pk, acting_user=facility.ada)
    done = AuditEvent.objects.values_list("action", "actor_name")
    assert list(done) == [
        ("instance.restart", "Ada Lind"),
        ("instance.stop", "Ivy Operator"),
        ("instance.start", "Ada Lind"),
        ("instance.delete", "Ada Lind"),
    ]


def test_stopping_and_deleting_twice_is_no_error_and_no_second_event(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    for service in (stop, stop, delete, delete):
        service(row.pk, acting_user=facility.ada)
    assert actions() == ["instance.stop", "instance.delete"]


@pytest.mark.parametrize("service", [stop, start, restart, delete])
def test_somebody_else_s_instance_does_not_exist(facility: Facility, service: Any) -> None:
    row = instance(facility, facility.ada)
    with pytest.raises(NotFound):
        service(row.pk, acting_user=facility.bob)
    assert not actions()


def test_only_what_stopped_can_be_started_and_only_what_runs_restarted(facility: Facility) -> None:
    with pytest.raises(Conflict, match="only a stopped instance"):
        start(instance(facility, facility.ada).pk, acting_user=facility.ada)
    with pytest.raises(Conflict, match="only a running instance"):
        restart(instance(facility, facility.ada, State.STOPPED).pk, acting_user=facility.ada)


def test_a_start_asks_anew_who_may_see_the_data(facility: Facility) -> None:
    row = instance(facility, facility.bob, State.STOPPED, grants=[{"path": "old"}])
    facility.bob.participations.all().delete()
    with pytest.raises(Denied, match="not on the team of HC-1"):
        start(row.pk, acting_user=facility.bob)


def test_a_name_can_be_changed_but_not_to_nothing(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    assert describe(row.pk, acting_user=facility.ada, name=" Rings ").name == "Rings"
    with pytest.raises(Invalid):
        describe(row.pk, acting_user=facility.ada, name="  ")


def test_a_ticket_is_kept_as_a_hash_and_bound_to_what_it_is_for(facility: Facility) -> None:
    row = instance(facility, facility.ada)
    seat = connect(row.pk, acting_user=facility.ada, app="desktop", session="s" * 64)
    kept = Ticket.objects.get()
    assert seat.ticket not in (kept.digest, repr(seat), seat.url)
    assert (kept.user, kept.instance, kept.app, kept.mode, kept.session) == (
        facility.ada,
        row,
        "desktop",
        "control",
        "s" * 64,
    )


def test_nothing_opens_in_an_instance_that_is_not_ready_or_has_no_such_app(facility: Facility) -> None:
    with pytest.raises(Conflict, match="stopped"):
        connect(instance(facility, facility.ada, State.STOPPED).pk, acting_user=facility.ada, app="desktop")
    with pytest.raises(Invalid, match="no app called jupyter"):
        connect(instance(facility, facility.ada).pk, acting_user=facility.ada, app="jupyter")
    with pytest.raises(Denied):
        connect(instance(facility, facility.ada).pk, acting_user=facility.ivy, app="desktop")
