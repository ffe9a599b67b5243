"""A small facility for tests: Ada leads HC-1, Bob takes part, Eve has nothing, Ivy looks after it all."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from auth.access import Role
from auth.data import Part
from auth.models import Experiment, Instrument, Participation, Proposal, RoleGrant, User
from instances.models import Cloud, Environment, Flavour, FlavourOffer, Instance
from instances.states import Desired, Phase, State

ISSUER = "https://login.example.org"
CAPACITY = {
    "cores": 2,
    "memory_mb": 8192,
    "gpus": {},
    "shared_cores": True,
    "images": ["desktop", "jupyter"],
    "notes": [],
}


@dataclass
class Facility:
    ada: User
    bob: User
    eve: User
    ivy: User
    aud: User
    sci: User
    running: Experiment
    other: Experiment
    open: Experiment
    cloud: Cloud
    desktop: Environment
    jupyter: Environment
    small: Flavour
    big: Flavour


def person(username: str, name: str) -> User:
    return User.objects.create(iss=ISSUER, sub=f"{username}@example.org", username=username, name=name)


def experiment(code: str, instrument: Instrument, *, days: int, **proposal: object) -> Experiment:
    now = timezone.now()
    found, _ = Proposal.objects.get_or_create(code=code, defaults={"title": f"About {code}", **proposal})
    return Experiment.objects.create(
        key=f"{code}-{days}",
        proposal=found,
        instrument=instrument,
        title=f"Measurements for {code}",
        start=now + timedelta(days=days - 1),
        end=now + timedelta(days=days + 1),
    )


def build() -> Facility:
    id11 = Instrument.objects.create(code="id11", name="Materials science")
    people = {
        username: person(username, name)
        for username, name in [
            ("ada", "Ada Lind"),
            ("bob", "Bob Maes"),
            ("eve", "Eve Noll"),
            ("ivy", "Ivy Operator"),
            ("aud", "Aud Itor"),
            ("sci", "Sci Entist"),
        ]
    }
    running = experiment("hc-1", id11, days=0)
    other = experiment("hc-2", id11, days=-30)
    opened = experiment("es-3", id11, days=-1500, released=timezone.now().date() - timedelta(days=9), doi="10.1/x")
    Participation.objects.create(user=people["ada"], experiment=running, part=Part.PRINCIPAL_INVESTIGATOR)
    Participation.objects.create(user=people["bob"], experiment=running, part=Part.PARTICIPANT)
    for username, role in [("ivy", Role.ADMINISTRATOR), ("aud", Role.AUDITOR)]:
        RoleGrant.objects.create(user=people[username], role=role, because="test", source="test")
    RoleGrant.objects.create(
        user=people["sci"], role=Role.INSTRUMENT_SCIENTIST, instrument=id11, because="test", source="test"
    )
    cloud = Cloud.objects.create(name="local", title="This machine", kind="local", capacity=dict(CAPACITY))
    small = Flavour.objects.create(slug="s", name="Small", cores=1, memory_mb=1024)
    big = Flavour.objects.create(
        slug="gpu.a40", name="A40", group="gpu", cores=16, memory_mb=32768, gpu_model="A40", gpu_count=1
    )
    FlavourOffer.objects.create(flavour=small, cloud=cloud)
    return Facility(
        **people,
        running=running,
        other=other,
        open=opened,
        cloud=cloud,
        small=small,
        big=big,
        desktop=Environment.objects.create(
            slug="desktop", name="Desktop", description="d", icon="display", apps=["desktop"], image="desktop"
        ),
        jupyter=Environment.objects.create(
            slug="jupyter", name="JupyterLab", description="j", icon="journal", apps=["jupyter"], image="jupyter"
        ),
    )


def instance(facility: Facility, owner: User, state: State = State.READY, **fields: object) -> Instance:
    wanted = {State.DELETING: Desired.DELETED, State.DELETED: Desired.DELETED, State.STOPPED: Desired.STOPPED}
    wanted |= {State.STOPPING: Desired.STOPPED, State.FAILED: Desired.STOPPED}
    made = Instance.objects.create(
        **{
            "name": "mine",
            "owner": owner,
            "environment": facility.desktop,
            "flavour": facility.small,
            "cloud": facility.cloud,
            "state": state,
            "desired": wanted.get(state, Desired.RUNNING),
            "phase": Phase.RUNNING if state is State.READY else Phase.ABSENT,
            "display": {"layout": "single", "fit": True, "screens": [{"width": 800, "height": 600}], "keyboard": "us"},
        }
        | fields
    )
    made.experiments.set([facility.running])
    return made
