"""Everybody who may stand before the portal, around Ada's instances: what the permission tests walk through."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from auth.access import Role
from auth.data import Part
from auth.models import Experiment, Instrument, Participation, RoleGrant, User
from instances.models import Instance, Member
from instances.states import State
from tests import facility as facilities
from tests.facility import Facility, experiment, person

PERSONAS = (
    "owner",
    "linked_to_owner",
    "principal_investigator",
    "participant",
    "stranger",
    "administrator",
    "it_support",
    "auditor",
    "scientist",
    "other_scientist",
    "contact",
    "contact_too_late",
    "contact_by_role",
    "contact_by_role_too_late",
    "contact_whose_role_ended",
    "control",
    "other_control",
    "control_of_nothing",
    "blocked_owner",
    "blocked_administrator",
    "owner_who_audits",
    "viewer",
    "collaborator",
    "member_no_longer",
)


@dataclass
class World:
    facility: Facility
    people: dict[str, User]
    running: Experiment
    """On ID11 now."""
    past: Experiment
    """On ID11, ended 59 days ago."""
    proprietary: Experiment
    """On ID11 now, and a company's."""

    def instances(self, *states: State) -> list[Instance]:
        """One for each state, owner and kind of experiment."""
        made = []
        for state in states or tuple(State):
            for owner in ("owner", "blocked_owner", "owner_who_audits"):
                for experiments in ([self.running], [self.past], [self.proprietary], [self.past, self.running], []):
                    row = facilities.instance(self.facility, self.people[owner], state)
                    row.experiments.set(experiments)
                    self.let_in(row)
                    made.append(row)
        return made

    def let_in(self, row: Instance) -> None:
        """Of the owner's own instances, for the experiment that runs."""
        if row.owner_id != self.people["owner"].pk or set(row.experiments.all()) != {self.running}:
            return
        ago = timezone.now() - timedelta(seconds=1)
        for name, kind, until in [
            ("viewer", Member.Role.VIEWER, None),
            ("collaborator", Member.Role.COLLABORATOR, timezone.now() + timedelta(days=1)),
            ("member_no_longer", Member.Role.COLLABORATOR, ago),
        ]:
            Member.objects.create(instance=row, user=self.people[name], role=kind, until=until)


def world() -> World:
    facility = facilities.build()
    people = {name: person(name.replace("_", "-")[:32], name.replace("_", " ").title()) for name in PERSONAS}
    id11, id22 = facility.running.instrument, Instrument.objects.create(code="id22", name="Powder")
    past = experiment("hc-9", id11, days=-60)
    secret = experiment("in-7", id11, days=0, proprietary=True)
    made = World(facility, people, facility.running, past, secret)
    User.objects.filter(pk=people["linked_to_owner"].pk).update(linked_to=people["owner"])
    User.objects.filter(username__startswith="blocked").update(is_active=False)

    def part(name: str, what: Part, *experiments: Experiment) -> None:
        for one in experiments:
            Participation.objects.create(user=people[name], experiment=one, part=what, source="catalogue:files")

    def role(name: str, what: Role, *, days: int | None = None, **about: object) -> None:
        until = None if days is None else timezone.now() + timedelta(days=days)
        RoleGrant.objects.create(
            user=people[name], role=what, because="test", source=f"person:{facility.ivy.pk}", until=until, **about
        )

    for name in ("owner", "blocked_owner"):
        part(name, Part.PARTICIPANT, made.running, past, secret)
    part("principal_investigator", Part.PRINCIPAL_INVESTIGATOR, made.running)
    part("participant", Part.PARTICIPANT, made.running)
    part("contact", Part.LOCAL_CONTACT, made.running)
    part("contact_too_late", Part.LOCAL_CONTACT, past)
    role("contact_by_role", Role.LOCAL_CONTACT, experiment=made.running, days=10)
    role("contact_by_role_too_late", Role.LOCAL_CONTACT, experiment=past)
    role("contact_whose_role_ended", Role.LOCAL_CONTACT, experiment=made.running, days=-1)
    for name, what in [
        ("administrator", Role.ADMINISTRATOR),
        ("blocked_administrator", Role.ADMINISTRATOR),
        ("it_support", Role.IT_SUPPORT),
        ("auditor", Role.AUDITOR),
        ("owner_who_audits", Role.AUDITOR),
        ("control_of_nothing", Role.INSTRUMENT_CONTROL),
    ]:
        role(name, what)
    role("scientist", Role.INSTRUMENT_SCIENTIST, instrument=id11)
    role("other_scientist", Role.INSTRUMENT_SCIENTIST, instrument=id22)
    role("control", Role.INSTRUMENT_CONTROL, instrument=id11)
    role("other_control", Role.INSTRUMENT_CONTROL, instrument=id22)
    for name in PERSONAS:
        people[name].refresh_from_db()
    return made
