"""Why somebody may or may not: the decision, and every step on the way to it.

Nothing is decided here. The answers come from `policy.may`, `may_launch` and `entitlement` as they are asked
everywhere else; this only writes down what they were told, and what they said.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit, permissions
from auth.access import Actor, Decision, Role, RoleHeld, allow, deny
from auth.data import Claim, DataGrant, Entitlement, Mode, day
from auth.identities import shortened
from auth.models import Experiment, Instrument, RoleGrant, User
from instances.errors import Denied
from instances.models import Instance
from instances.policy import Action, may, may_explain_others, may_launch

from .experiments import entitlements_of, find_experiment, givers_of, source_in_words, takes_part
from .visibility import experiments_shown, facts, find

READ, WRITE = "read", "write"


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the experiment, and what the person gets of it: a grant, or None."""

    path: str
    grant: DataGrant | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision comes from the function that decides everywhere; the steps are what it was told and said."""

    question: str
    decision: Decision
    steps: tuple[Step, ...]
    folders: tuple[Folder, ...] = ()
    verdicts: tuple[tuple[Action, Decision], ...] = ()
    """Of an instance: every action."""


def explain_experiment(experiment_id: int, *, acting_user: User, person: User | None = None) -> Explanation:
    """Why `person` (default: the asker) gets which folders. NotFound unless the asker may know of the experiment."""
    experiment = find_experiment(experiment_id, actor=acting_user.as_actor())
    _asked(acting_user, person, f"experiment:{experiment.pk}")
    return about_data(person or acting_user, experiment)


def explain_instance(instance_id: UUID | str, *, acting_user: User, person: User | None = None) -> Explanation:
    """Why `person` (default: the asker) may what with the instance. NotFound unless the asker may see it."""
    actor = acting_user.as_actor()
    instance = find(instance_id, actor=actor, action=Action.SEE)
    _asked(acting_user, person, f"instance:{instance.pk}")
    return about_instance(person or acting_user, instance, shown_to=actor)


def _asked(acting_user: User, person: User | None, target: str) -> None:
    """Whoever asks for somebody else is one who may, and it is written down."""
    if person is None or person.pk == acting_user.pk:
        return
    actor = acting_user.as_actor()
    if not (decision := may_explain_others(actor)):
        raise Denied(decision)
    with transaction.atomic():
        audit.record("permission.explain", target, actor=actor, because=decision.because, detail={"person": person.pk})


def about_data(person: User, experiment: Experiment, *, action: str = READ, at: datetime | None = None) -> Explanation:
    """Why `person` may `read` or `write` the experiment's data, folder by folder."""
    now = at or timezone.now()
    actor = person.as_actor(at=now)
    entitled = entitlements_of(actor, [experiment], at=now)[experiment.pk]
    verb = "change anything in" if action == WRITE else "read"
    return Explanation(
        f"May {person.name} {verb} the data of {experiment.proposal} on {experiment.instrument}?",
        on_data(entitled, action),
        (
            *about_person(person, actor, now),
            Step("The part in the experiment", _parts(entitled)),
            Step("The experiment", _experiment(experiment, now)),
            Step("The rules, and what each gave", tuple(_rules(entitled.claims)) or (entitled.because,)),
        ),
        folders=_folders(experiment, entitled.grants),
    )


def about_launch(person: User, experiments: Iterable[Experiment], *, at: datetime | None = None) -> Explanation:
    """Why `person` may launch an instance for `experiments`."""
    now = at or timezone.now()
    actor, chosen = person.as_actor(at=now), list(experiments)
    entitlements = entitlements_of(actor, chosen, at=now)
    refusals = tuple(entitled.because for entitled in entitlements.values() if not entitled)
    part = takes_part(actor)
    lines = ["Takes part in some experiment here." if part else "Takes part in no experiment here."]
    lines += [f"{experiment.proposal}: {entitlements[experiment.pk].because}" for experiment in chosen]
    return Explanation(
        f"May {person.name} launch an instance for {', '.join(str(e.proposal) for e in chosen) or 'nobody’s data'}?",
        may_launch(actor, takes_part=part, refusals=refusals),
        (*about_person(person, actor, now), Step("Beam time", tuple(lines))),
    )


def about_instance(
    person: User,
    instance: Instance,
    *,
    action: Action = Action.SEE,
    shown_to: Actor | None = None,
    at: datetime | None = None,
) -> Explanation:
    """Why `person` may `action`, with the verdict on every other action. `shown_to`: who reads it, if not `person`."""
    now = at or timezone.now()
    actor = person.as_actor(at=now)
    subject = facts(instance, at=now)
    lines = [f"{instance.name} belongs to {instance.owner.name} and is {instance.state}."]
    for experiment in experiments_shown(shown_to or actor, instance, at=now):
        lines.append(f"It was launched for {experiment.proposal} on {experiment.instrument}, {_dates(experiment)}.")
    if subject.withheld and may(shown_to or actor, Action.INSPECT, subject):
        lines.append(subject.withheld)
    return Explanation(
        f"May {person.name} {action.value} the instance {instance.name}?",
        may(actor, action, subject),
        (*about_person(person, actor, now), Step("The instance", tuple(lines))),
        verdicts=tuple((one, may(actor, one, subject)) for one in Action if one not in _NOT_OF_AN_INSTANCE),
    )


_NOT_OF_AN_INSTANCE = {Action.LAUNCH, Action.ADMINISTER, Action.AUDIT}


def on_data(entitled: Entitlement, action: str, path: str = "") -> Decision:
    """Whether an entitlement lets read, or write, in any of its folders; with `path`, there."""
    given = [g for g in entitled.grants if not path or f"{path}/".startswith(f"{g.path}/")]
    fitting = [grant for grant in given if grant.writable or action == READ]
    if fitting:
        return allow(fitting[0].because, until=fitting[0].until)
    if given:
        return deny(f"It may only be read: {given[0].because}.")
    return deny(f"None of the folders that are given holds it: {entitled.because}." if entitled else entitled.because)


def about_person(person: User, actor: Actor, now: datetime) -> tuple[Step, Step]:
    """Who asks, through which identities, and what they are here beside any experiment."""
    who = [f"{person.name} ({person.username}), as {shortened(person.sub)} at {_host(person.iss)}."]
    for other in User.objects.filter(pk__in=actor.linked).order_by("pk"):
        blocked = "" if other.is_active else ", blocked"
        who.append(f"Linked to it: {other.username}, as {shortened(other.sub)} at {_host(other.iss)}{blocked}.")
    if not actor.active:
        who.append("Blocked: whatever follows gives nothing.")
    return Step("The person", tuple(who)), Step("Roles at the facility", _roles(actor, now))


def _roles(actor: Actor, now: datetime) -> tuple[str, ...]:
    over = RoleGrant.objects.filter(user__in=actor.accounts).exclude(
        pk__in=RoleGrant.objects.in_force(now).filter(user__in=actor.accounts)
    )
    past = [grant.as_held() for grant in over.order_by("pk")]
    everything = [*actor.held, *past]
    givers = givers_of(everything)
    objects: dict[str, dict[int, str]] = {
        "instrument": {i.pk: str(i) for i in Instrument.objects.filter(pk__in={r.instrument for r in everything})},
        "experiment": {
            e.pk: str(e.proposal)
            for e in Experiment.objects.filter(pk__in={r.experiment for r in everything}).select_related("proposal")
        },
    }
    lines = [_role(role, objects, givers, now) for role in everything]
    return tuple(lines) or ("None.",)


def _role(role: RoleHeld, objects: dict[str, dict[int, str]], givers: dict[int, str], now: datetime) -> str:
    text = role.role.label
    if about := objects["instrument"].get(role.instrument or 0) or objects["experiment"].get(role.experiment or 0):
        text += f" of {about}"
    elif role.role in (Role.INSTRUMENT_SCIENTIST, Role.LOCAL_CONTACT, Role.INSTRUMENT_CONTROL):
        text += ", for nothing in particular, which gives nothing"
    if said := source_in_words(role.source, givers):
        text += f", {said}"
    if role.because:
        text += f" ({role.because})"
    if role.since and role.since > now:
        return f"{text}. It begins on {day(role.since)}."
    if role.until and role.until <= now:
        return f"{text}. It ended on {day(role.until)}."
    return f"{text}, until {day(role.until)}." if role.until else f"{text}, without end."


def _parts(entitled: Entitlement) -> tuple[str, ...]:
    lines = []
    for claim in entitled.claims:
        if held := claim.held:
            text = held.part.label.capitalize()
            text += f", {held.source}" if held.source else ""
            text += f", through {held.through}" if held.through else ""
            lines.append(f"{text}, until {day(held.until)}." if held.until else f"{text}, without end.")
    return tuple(lines) or ("None: not on its team.",)


def _experiment(experiment: Experiment, now: datetime) -> tuple[str, ...]:
    proposal = experiment.proposal
    said = f", says catalogue {source}" if (source := experiment.source.partition(":")[2]) else ""
    lines = [f"{proposal} on {experiment.instrument}: {_dates(experiment)}{said}; {experiment.phase(now)}."]
    if proposal.proprietary:
        lines.append("Proprietary: only its team sees its data, for ever.")
    elif not proposal.released:
        lines.append("It has no release date, so it stays closed.")
    else:
        begun = proposal.released <= now.astimezone(UTC).date()
        lines.append(f"{'Released on' if begun else 'Under embargo until'} {day(proposal.released)}, UTC.")
    lines.append(f"Its DOI is {proposal.doi}." if proposal.doi else "It has no DOI, without which nothing is open.")
    return tuple(lines)


def _rules(claims: Iterable[Claim]) -> Iterable[str]:
    for claim in claims:
        if claim.held and claim.row:
            whose = f"this facility’s own rule, {permissions.name()}" if claim.row.by_site else "the standard rule"
            yield f"{claim.held.part.label.capitalize()}: {claim.row.words} ({whose}). {_outcome(claim)}"
        else:
            yield f"Anyone: raw data read once it is released with a DOI. {_outcome(claim)}"


def _outcome(claim: Claim) -> str:
    return f"Yes, because {claim.because}." if claim else f"No. {claim.because}"


def _folders(experiment: Experiment, grants: Iterable[DataGrant]) -> tuple[Folder, ...]:
    given = {grant.path: grant for grant in grants}
    layout = permissions.table().layout_of(str(experiment.instrument))
    paths = [f"{experiment.folder}/{folder}" for folder, _ in layout]
    return tuple(Folder(path, given.get(path)) for path in paths)


def in_words(grant: DataGrant | None) -> str:
    return "none" if grant is None else "read and write" if grant.mode is Mode.READ_WRITE else "read"


def _dates(experiment: Experiment) -> str:
    return f"{day(experiment.start)} to {day(experiment.end)}"


def _host(iss: str) -> str:
    return urlsplit(iss).hostname or iss
