"""Roles that administrators give by hand, with a reason and an end; and the end of every role on its date."""

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from auth import audit, rights
from auth.access import Actor, Role, deny
from auth.models import Experiment, Instrument, RoleGrant, User
from instances.errors import Conflict, Denied, Invalid, NotFound
from instances.policy import may_administer

LONGEST = timedelta(days=400)
USUAL = timedelta(days=90)
REASON = range(10, 201)
"""Characters of a reason."""
BY_HAND = "person:"
BATCH = 100
ITS_DATE = "its end date"
ON_INSTRUMENT = frozenset({Role.INSTRUMENT_SCIENTIST, Role.INSTRUMENT_CONTROL})
ON_EXPERIMENT = frozenset({Role.LOCAL_CONTACT})


def grant_role(
    *,
    acting_user: User,
    person: User,
    role: Role,
    because: str,
    until: datetime,
    instrument: Instrument | None = None,
    experiment: Experiment | None = None,
) -> RoleGrant:
    """`person` holds `role` from now `until` then. What they hold by hand already is extended.

    Denied to all but administrators, and for oneself; Invalid has a sentence per field; Conflict for whoever is
    blocked.
    """
    now, because = timezone.now(), " ".join(because.split())
    problems = reason_problem(because) | _problems(role, until, instrument, experiment, now)
    with transaction.atomic():
        actor = as_administrator(acting_user)
        # One at a time for each person, and for the account that signing in opens.
        person = User.objects.select_for_update(no_key=True).get(pk=person.linked_to_id or person.pk)
        if person.pk in actor.accounts:
            raise Denied(deny("Nobody gives roles to themselves. Ask another administrator."))
        if not person.is_active:
            raise Conflict(f"{person.name} is blocked. Unblock them first, if they are to have a role.")
        held = _held(person, role, instrument, experiment, now)
        if held and held.until and held.until >= until and "until" not in problems:
            problems["until"] = (
                f"They have this role until {held.until:%d %B %Y} already. Choose a later day, or end it."
            )
        if problems:
            raise Invalid(problems)
        before = held.until if held else None
        grant = held or RoleGrant(user=person, role=role, instrument=instrument, experiment=experiment, since=now)
        grant.because, grant.until, grant.source = because, until, f"{BY_HAND}{acting_user.pk}"
        grant.save()
        rights.announce(users={person.pk}, because=f"you are {described(grant)} now")
        detail = detail_of(grant) | ({"before": before.isoformat()} if before else {})
        audit.record("role.grant", f"user:{person.pk}", actor=actor, because=because, detail=detail)
    return grant


def end_role(*, acting_user: User, grant: RoleGrant, because: str) -> RoleGrant:
    """It ends now and stays as history. Conflict when it came from elsewhere, is over, or keeps the portal governed."""
    because = " ".join(because.split())
    with transaction.atomic():
        actor = as_administrator(acting_user)
        lock_administrators()
        row = RoleGrant.objects.select_for_update(of=("self",)).select_related("user").filter(pk=grant.pk).first()
        now = timezone.now()
        if row is None:
            raise NotFound("There is no such role.")
        if not row.source.startswith(BY_HAND):
            raise Conflict(where_from(row))
        if row.ended or (row.until and row.until <= now):
            raise Conflict("This role has ended already.")
        if problem := reason_problem(because):
            raise Invalid(problem)
        if row.role == Role.ADMINISTRATOR and not administrators(now, apart_from=Q(pk=row.pk)):
            raise Conflict("Nobody else is administrator now. Make somebody else administrator first.")
        _end(row, now, actor=actor, because=because)
    return row


def end_expired(now: datetime | None = None) -> int:
    """Act upon the end of roles whose date has come; how many there were. Any number of workers may call it at once."""
    now = now or timezone.now()
    for done in range(BATCH):
        # Each by itself: whoever has written to the trail must not wait for another person's instances.
        with transaction.atomic():
            row = (
                RoleGrant.objects.filter(ended=None, until__lte=now)
                .select_related("user", "instrument", "experiment__proposal")
                .select_for_update(skip_locked=True, of=("self",))
                .order_by("until", "pk")
                .first()
            )
            if row is None:
                return done
            _end(row, now, actor=None, because=ITS_DATE)
    return BATCH


def administrators(now: datetime, *, apart_from: Q) -> int:
    """Roles of administrators in force, of people who are not blocked. Hold `lock_administrators` while it counts."""
    found = RoleGrant.objects.in_force(now).filter(role=Role.ADMINISTRATOR, user__is_active=True)
    return found.exclude(user__linked_to__is_active=False).exclude(apart_from).count()


def lock_administrators() -> None:
    """Two administrators who end each other at the same moment do it one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('visa.administrators'))")


def where_from(grant: RoleGrant) -> str:
    """Why a role cannot be ended here, and where it can."""
    kind, _, name = grant.source.partition(":")
    if kind == "catalogue":
        return f"The catalogue {name} says so. Take it out there: it ends with the next run."
    if kind == "claim":
        return f"{name} says so when they sign in. Take them out of the group there; it ends when they sign in next."
    return f"It comes from {grant.source}, and ends there."


def described(grant: RoleGrant) -> str:
    """`instrument scientist of ID11`."""
    label = Role(grant.role).label
    label = label if label.startswith("IT") else label.lower()
    place = grant.instrument or (grant.experiment and grant.experiment.proposal)
    return f"{label} of {place}" if place else label


def detail_of(grant: RoleGrant) -> dict[str, object]:
    return {
        "grant": grant.pk,
        "role": grant.role,
        "instrument": grant.instrument_id,
        "experiment": grant.experiment_id,
        "source": grant.source,
        "until": grant.until.isoformat() if grant.until else None,
    }


def as_administrator(acting_user: User) -> Actor:
    """Whoever asks, when they may change what belongs to the whole portal; Denied with the reason otherwise."""
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    return actor


def reason_problem(because: str) -> dict[str, str]:
    if len(because) in REASON:
        return {}
    return {"because": f"Say why in {REASON.start} to {REASON.stop - 1} characters: it is kept in the audit trail."}


def _held(
    person: User, role: Role, instrument: Instrument | None, experiment: Experiment | None, now: datetime
) -> RoleGrant | None:
    """What they hold by hand and in force; a row whose date has come this second is history first."""
    given = RoleGrant.objects.filter(
        user=person, role=role, instrument=instrument, experiment=experiment, source__startswith=BY_HAND, ended=None
    )
    for row in given.select_for_update(of=("self",)).order_by("-until", "pk"):
        if row.until is None or row.until > now:
            return row
        _end(row, now, actor=None, because=ITS_DATE)
    return None


def _end(row: RoleGrant, now: datetime, *, actor: Actor | None, because: str) -> None:
    detail = detail_of(row)
    row.until = min(row.until, now) if row.until else now
    row.ended = now
    row.save(update_fields=["until", "ended"])
    rights.announce(users={row.user_id}, because=f"you are no longer {described(row)}: {because}")
    audit.record("role.end", f"user:{row.user_id}", actor=actor, because=because, detail=detail)


def _problems(
    role: Role, until: datetime, instrument: Instrument | None, experiment: Experiment | None, now: datetime
) -> dict[str, str]:
    problems = {}
    if not now < until <= now + LONGEST:
        problems["until"] = f"Choose a day within the next {LONGEST.days} days."
    if role in ON_INSTRUMENT and instrument is None:
        problems["instrument"] = f"Choose the instrument whose {role.label.lower()} they become."
    if role in ON_EXPERIMENT and experiment is None:
        problems["experiment"] = "Choose the experiment whose local contact they become."
    if instrument is not None and role not in ON_INSTRUMENT:
        problems["instrument"] = f"{role.label} is not about an instrument."
    if experiment is not None and role not in ON_EXPERIMENT:
        problems["experiment"] = f"{role.label} is not about an experiment."
    return problems
