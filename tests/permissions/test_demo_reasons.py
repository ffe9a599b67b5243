"""Signing in as each of the nine people shows other experiments, other folders and other reasons."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from auth.models import Experiment, User
from instances.services.experiments import entitlements_of, known_to
from visa import demo

from .conftest import As

pytestmark = pytest.mark.django_db

OPEN = "ES-1104 is open data, released on "
EXPECTED: dict[str, dict[str, tuple[str, str]]] = {
    # experiment: folders (r read, w read and write, - nothing, in the order of the layout), how the reason begins
    "alice": {
        "hc-5187-2": ("rww", "you are principal investigator of HC-5187, says catalogue demo"),
        "hc-5187-1": ("rww", "you are principal investigator of HC-5187, says catalogue demo"),
        "ma-6021-1": ("rww", "you are principal investigator of MA-6021, says catalogue demo"),
        "ls-3310-1": ("rww", "you are a participant of LS-3310, says catalogue demo"),
        "es-1104-1": ("r--", OPEN),
    },
    "bruno": {
        "hc-5187-2": ("rww", "you are a participant of HC-5187, says catalogue demo"),
        "hc-5187-1": ("rww", "you are a participant of HC-5187, says catalogue demo"),
        "in-1450-1": ("rww", "you are principal investigator of IN-1450, says catalogue demo"),
        "es-1104-1": ("r--", OPEN),
    },
    "chiara": {
        "ma-6021-1": ("rww", "you are a participant of MA-6021, says catalogue demo"),
        "ls-3310-1": ("rww", "you are principal investigator of LS-3310, says catalogue demo"),
        "es-1104-1": ("rww", "you are principal investigator of ES-1104, says catalogue demo"),
        "hc-5342-1": ("rww", "you are principal investigator of HC-5342, says catalogue demo"),
    },
    "dirk": {
        "hc-5187-2": ("rww", "you are local contact of HC-5187, says catalogue demo"),
        "ma-6021-1": ("rww", "you are local contact of MA-6021, says catalogue demo"),
        "hc-5342-1": ("rww", "you are local contact of HC-5342, says catalogue demo"),
        "es-1104-1": ("r--", OPEN),
    },
    "eszter": {
        "ls-3310-1": ("rrr", "you are instrument scientist of BM33, says catalogue demo"),
        "es-1104-1": ("rrr", "you are instrument scientist of BM33, says catalogue demo"),
    },
    **{name: {"es-1104-1": ("r--", OPEN)} for name in ("farid", "greta", "hugo", "ines")},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("facility")


@pytest.fixture(autouse=True)
def facility(data: Path, tmp_path: Path, settings: Any) -> None:
    settings.OIDC = settings.OIDC | {"issuer": "http://localhost:8002"}
    demo.load(data, tmp_path / "demo")


def folders(entitled: Any) -> str:
    modes = {grant.path.rpartition("/")[2]: "w" if grant.writable else "r" for grant in entitled.grants}
    return "".join(modes.get(name, "-") for name in ("RAW_DATA", "PROCESSED_DATA", "SCRIPTS"))


@pytest.mark.parametrize("username", EXPECTED)
def test_what_each_person_sees_and_why(username: str) -> None:
    actor = User.objects.get(username=username).as_actor()
    known = list(known_to(actor))
    entitlements = entitlements_of(actor, known)
    found = {e.key: (folders(entitlements[e.pk]), entitlements[e.pk].because) for e in known}
    assert set(found) == set(EXPECTED[username])
    for key, (modes, reason) in EXPECTED[username].items():
        assert found[key][0] == modes, key
        assert found[key][1].startswith(reason), found[key]


def test_only_the_local_contact_s_folders_end_and_they_end_30_days_after_the_beam_time() -> None:
    for username in EXPECTED:
        actor = User.objects.get(username=username).as_actor()
        for experiment in known_to(actor):
            for grant in entitlements_of(actor, [experiment])[experiment.pk].grants:
                ends = username == "dirk" and experiment.proposal.code != "es-1104"
                assert grant.until == (experiment.end + timezone.timedelta(days=30) if ends else None)


def test_what_everybody_else_is_told_of_each_experiment() -> None:
    actor = User.objects.get(username="ines").as_actor()
    experiments = Experiment.objects.select_related("proposal", "instrument")
    said = {e.key: entitlements_of(actor, [e])[e.pk].because for e in experiments}
    assert said["in-1450-1"].endswith("IN-1450 is proprietary: only its team sees its data.")
    assert "The data of LS-3310 is under embargo until " in said["ls-3310-1"]
    assert "The data of HC-5187 is under embargo until " in said["hc-5187-2"]


def test_the_pages_say_so_to_each_of_them(signed_in: As) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    for username, experiments in EXPECTED.items():
        client = signed_in(User.objects.get(username=username))
        staff = username in ("farid", "greta", "hugo")
        for experiment in Experiment.objects.all():
            answer = client.get(f"/experiments/{experiment.pk}/why/")
            if experiment.key in experiments:
                assert experiments[experiment.key][1] in answer.content.decode()
            else:
                assert answer.status_code == (200 if staff else 404), (username, experiment.key)
