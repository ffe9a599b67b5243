"""What is explained is what is decided: over every persona, action and state, on the pages and on the command line."""

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from auth.models import AuditEvent, Experiment
from instances.models import Connection, Instance
from instances.policy import Action, may
from instances.services.experiments import entitlements_of, known_to
from instances.services.explain import READ, WRITE, about_data, about_instance
from instances.services.visibility import facts, visible_to
from instances.states import State
from tests import facility as facilities

from .conftest import As
from .personas import PERSONAS, World

pytestmark = pytest.mark.django_db


def test_the_explanation_of_an_instance_is_the_policy_s_own_answer(around: World) -> None:
    now = timezone.now()
    rows = [facilities.instance(around.facility, around.people["owner"], state) for state in State]
    for persona in PERSONAS:
        user = around.people[persona]
        actor = user.as_actor(at=now)
        for row in rows:
            explanation = about_instance(user, row, at=now)
            subject = facts(row, at=now)
            assert explanation.decision == may(actor, Action.SEE, subject)
            for action, decision in explanation.verdicts:
                assert decision == may(actor, action, subject), (persona, action, row.state)
    assert {action for action, _ in explanation.verdicts} == set(Action) - {
        Action.LAUNCH,
        Action.ADMINISTER,
        Action.AUDIT,
    }


def test_the_explanation_of_data_is_the_entitlement(around: World) -> None:
    now = timezone.now()
    experiments = list(Experiment.objects.select_related("proposal", "instrument"))
    for persona in PERSONAS:
        user = around.people[persona]
        entitlements = entitlements_of(user.as_actor(at=now), experiments, at=now)
        for experiment in experiments:
            entitled = entitlements[experiment.pk]
            read = about_data(user, experiment, action=READ, at=now)
            write = about_data(user, experiment, action=WRITE, at=now)
            assert read.decision.allowed == bool(entitled)
            assert write.decision.allowed == any(grant.writable for grant in entitled.grants)
            assert tuple(folder.grant for folder in read.folders if folder.grant) == entitled.grants
            if not entitled:
                assert read.decision.because == entitled.because
            assert all(step.lines for step in read.steps)


@pytest.mark.parametrize("persona", [name for name in PERSONAS if not name.startswith("blocked")])
def test_a_page_says_why_of_what_may_be_known_and_nothing_of_the_rest(
    around: World, signed_in: As, persona: str
) -> None:
    actor = around.people[persona].as_actor()
    client = signed_in(around.people[persona])
    staff = persona in ("administrator", "it_support", "auditor", "owner_who_audits")
    known = set(Experiment.objects.all() if staff else known_to(actor))
    for experiment in (around.running, around.past, around.proprietary):
        for address in (f"/experiments/{experiment.pk}/why/", f"/experiments/{experiment.pk}/"):
            assert client.get(address).status_code == (200 if experiment in known else 404), address
    for row in around.instances(State.READY):
        seen = visible_to(actor).filter(pk=row.pk).exists()
        for address in (f"/instances/{row.pk}/why/", f"/instances/{row.pk}/"):
            assert client.get(address).status_code == (200 if seen else 404), address


def test_a_denial_is_explained_to_whoever_takes_part(around: World, signed_in: As) -> None:
    page = signed_in(around.people["contact_too_late"]).get(f"/experiments/{around.past.pk}/why/").content.decode()
    assert "its data closed to you on" in page
    assert "30 days after beam time" in page
    assert "says catalogue files" in page
    assert "standard rule" in page


def test_who_gave_a_role_and_until_when_is_part_of_the_reason(around: World, signed_in: As) -> None:
    page = signed_in(around.people["contact_by_role"]).get(f"/experiments/{around.running.pk}/why/").content.decode()
    assert "you are local contact of HC-1, granted by Ivy Operator until" in page
    grants = entitlements_of(around.people["contact_by_role"].as_actor(), [around.running])[around.running.pk].grants
    assert {grant.until for grant in grants} == {around.people["contact_by_role"].role_grants.get().until}


def test_the_identity_through_which_somebody_takes_part_is_named(around: World) -> None:
    linked = around.people["linked_to_owner"].as_actor()
    entitled = entitlements_of(linked, [around.running])[around.running.pk]
    assert entitled.because == (
        "you are a participant of HC-1, says catalogue files, through your identity owner at login.example.org"
    )


def test_staff_ask_for_somebody_else_and_it_is_written_down(around: World, signed_in: As) -> None:
    address = f"/experiments/{around.running.pk}/why/?person=participant"
    page = signed_in(around.people["it_support"]).get(address).content.decode()
    assert "May Participant read the data of HC-1 on ID11?" in page
    row = AuditEvent.objects.get(action="permission.explain")
    assert (row.actor_id, row.detail) == (around.people["it_support"].pk, {"person": around.people["participant"].pk})


def test_nobody_else_asks_for_somebody_else(around: World, signed_in: As) -> None:
    for name in ("participant", "nobody-at-all"):
        answer = signed_in(around.people["owner"]).get(f"/experiments/{around.running.pk}/why/?person={name}")
        assert answer.status_code == 403
        assert b"Only those who look after this portal" in answer.content
    assert not AuditEvent.objects.filter(action="permission.explain").exists()


def test_a_username_that_nobody_has_gets_a_sentence_beside_its_field(around: World, signed_in: As) -> None:
    answer = signed_in(around.people["administrator"]).get(f"/experiments/{around.running.pk}/why/?person=nobody")
    assert answer.status_code == 404
    assert b"There is nobody with the username nobody." in answer.content
    assert b'aria-describedby="error-person"' in answer.content


def test_who_sees_an_instance_for_its_experiment_sees_no_notes_data_timeline_or_picture(
    around: World, signed_in: As
) -> None:
    made = facilities.instance(
        around.facility,
        around.people["owner"],
        notes="a secret note",
        message="a secret message",
        thumbnail=b"\xff\xd8jpeg",
        thumbnail_at=timezone.now(),
        grants=[
            {
                "path": "x/SECRET",
                "target": "/data/x/SECRET",
                "mode": "read",
                "because": "b",
                "until": None,
                "proposal": "HC-1",
                "experiment": 1,
            }
        ],
    )
    at = f"/instances/{made.pk}/"
    for persona in ("scientist", "contact", "contact_by_role", "control"):
        client = signed_in(around.people[persona])
        for address in (at, f"{at}card/", f"/api/v1{at}", f"/api/v1{at}events/", f"{at}progress/"):
            answer = client.get(address)
            assert answer.status_code in (200, 403), (persona, address)
            assert b"ecret" not in answer.content.lower().replace(b"csrf", b""), (persona, address)
        assert client.get(f"{at}thumbnail/").status_code == 403
        assert b"thumbnail/" not in client.get(f"{at}card/").content
    for persona, status in (("owner", 200), ("administrator", 403), ("auditor", 403), ("stranger", 404)):
        client = signed_in(around.people[persona])
        assert client.get(f"{at}thumbnail/").status_code == status
        if status != 404:
            assert (b"thumbnail/" in client.get(f"{at}card/").content) == (status == 200)


def test_who_has_accessed_the_data_is_told_to_those_who_may_ask(around: World, signed_in: As) -> None:
    made = facilities.instance(around.facility, around.people["owner"], name="the owner's desktop")
    opened = timezone.now()
    Connection.objects.create(
        user=around.people["participant"], instance=made, app="desktop", mode="watch", broker="b", opened=opened,
        closed=opened + timezone.timedelta(minutes=5),
    )  # fmt: skip
    address = f"/experiments/{around.running.pk}/"
    for persona in ("principal_investigator", "scientist", "administrator", "it_support", "auditor"):
        page = signed_in(around.people[persona]).get(address).content.decode()
        assert "Who has accessed this data" in page, persona
        assert "Desktop, watch" in page and "5 min 0 s" in page and "the owner&#x27;s desktop" in page
    for persona in ("owner", "participant", "contact", "contact_by_role", "control"):
        page = signed_in(around.people[persona]).get(address).content.decode()
        assert "Who has accessed this data" not in page, persona


def told(*question: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("explain", *question, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    except CommandError as wrong:
        return wrong.returncode, str(wrong)
    return 0, out.getvalue()


def test_the_command_prints_the_same_reasons_and_ends_with_the_answer(around: World) -> None:
    made: Instance = facilities.instance(around.facility, around.people["owner"])
    folder = f"/data/{around.running.folder}"
    for code, *question in [
        (0, "participant", "read", "experiment:hc-1-0"),
        (0, "participant", "write", "proposal:hc-1"),
        (0, "participant", "read", f"path:{folder}/RAW_DATA/scan.h5"),
        (1, "participant", "write", f"path:{folder}/RAW_DATA/scan.h5"),
        (0, "participant", "write", f"path:{folder}/SCRIPTS"),
        (1, "participant", "read", f"path:{folder}/ELSEWHERE"),
        (1, "participant", "read", f"path:{folder}/RAW_DATA_2"),
        (0, "participant", "launch", f"experiment:{around.running.pk}"),
        (1, "stranger", "read", "experiment:hc-1"),
        (1, "stranger", "see", "experiment:hc-1"),
        (0, "owner", "control", f"instance:{made.pk}"),
        (1, "administrator", "control", f"instance:{made.pk}"),
        (0, "administrator", "administer", "portal"),
        (1, "auditor", "administer", "portal"),
        (1, "blocked-administrator", "administer", "portal"),
        (1, "blocked-owner", "read", "experiment:hc-1"),
    ]:
        ended, text = told(*question)
        assert ended == code, (question, text)
        assert ("Yes, because" if code == 0 else "No. ") in text
    assert AuditEvent.objects.filter(action="permission.explain", actor=None).count() == 16


@pytest.mark.parametrize(
    "question",
    [
        ("nobody", "read", "experiment:hc-1"),
        ("owner", "fly", "experiment:hc-1"),
        ("owner", "read", "experiment:hc-none"),
        ("owner", "read", "spaceship:1"),
        ("owner", "read", "portal"),
        ("owner", "control", "experiment:hc-1"),
        ("owner", "see", "instance:not-a-uuid"),
        ("owner", "see", f"instance:{uuid4()}"),
        ("owner", "read", "path:data/visitor"),
        ("owner", "read", "path:/data/visitor/../../etc/passwd"),
        ("owner", "read", "path:/etc/passwd"),
        ("owner", "read", "path:/data/visitor/hc-none/id11"),
    ],
)
def test_a_question_that_makes_no_sense_ends_with_2(around: World, question: tuple[str, ...]) -> None:
    code, text = told(*question)
    assert code == 2 and text.endswith(".")
