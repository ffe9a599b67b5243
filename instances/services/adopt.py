"""Orphans: what a cloud holds in our name and no row knows, made an instance again, or deleted."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import Experiment, User
from instances.errors import Conflict, Invalid, NotFound
from instances.models import Environment, Flavour, Instance, Stray
from instances.states import Desired, Phase, State

from . import transitions
from .display import DEFAULT
from .roles import as_administrator, reason_problem
from .wake import wake

REASON = (
    "It was found in its cloud and adopted. It is stopped, because nobody knows which data it holds: start it anew."
)


def adopt(stray_id: int, *, acting_user: User) -> Instance:
    """Make an orphan an instance of whoever its labels name. It is closed to everybody and stops: the portal does not
    know what data it has mounted. Its owner's home stays, and the next start gives what its owner may have then.
    """
    actor = as_administrator(acting_user)
    with transaction.atomic():
        stray = _orphan(stray_id)
        if stray.fate == Stray.Fate.DELETE:
            raise Conflict("Its deletion has been decided, and may be under way.")
        return _adopt(stray, actor)


def adopt_by_policy(stray: Stray) -> Instance:
    """As the site's policy wants it (VISA_ORPHANS), without anybody asking."""
    with transaction.atomic():
        return _adopt(_orphan(stray.pk), None)


def delete_stray(stray_id: int, *, acting_user: User, because: str) -> Stray:
    """Have an orphan deleted in its cloud, with the next look at it. Invalid without a reason."""
    actor = as_administrator(acting_user)
    because = " ".join(because.split())
    if problem := reason_problem(because):
        raise Invalid(problem)
    with transaction.atomic():
        stray = _orphan(stray_id)
        stray.fate, stray.trouble = Stray.Fate.DELETE, ""
        stray.save(update_fields=["fate", "trouble"])
        detail = {"instance": stray.key, **_named(stray)}
        audit.record("stray.delete", f"cloud:{stray.cloud.name}", actor=actor, because=because, detail=detail)
    return stray


@dataclass(frozen=True, slots=True)
class Named:
    """What an orphan's labels name, as far as it is known here."""

    owner: User
    environment: Environment
    flavour: Flavour
    experiments: list[Experiment]


def named(stray: Stray) -> Named:
    """Whose instance it would become. Conflict where its labels do not say, or where it is one already."""
    labels = stray.labels
    owner = User.objects.filter(username=labels.get("owner", "")).first()
    environment = Environment.objects.filter(slug=labels.get("environment", "")).first()
    flavour = Flavour.objects.filter(slug=labels.get("flavour", "")).first()
    if owner is None or environment is None or flavour is None:
        lacking = [
            name for name, found in (("owner", owner), ("environment", environment), ("flavour", flavour)) if not found
        ]
        raise Conflict(f"Its labels name no known {' and no known '.join(lacking)}: it can only be deleted.")
    if Instance.objects.filter(pk=UUID(stray.key)).exists():
        raise Conflict("There is an instance with this id already.")
    ids = [int(text) for text in labels.get("experiments", "").split(",") if text.isdecimal() and len(text) < 10]
    experiments = Experiment.objects.filter(pk__in=ids).select_related("proposal", "instrument")
    return Named(owner, environment, flavour, list(experiments))


def _orphan(stray_id: int) -> Stray:
    rows = Stray.objects.select_for_update(of=("self",)).select_related("cloud")
    stray = rows.filter(pk=stray_id, kind=Stray.Kind.ORPHAN).first()
    if stray is None:
        raise NotFound("It is not there any more: its cloud no longer lists it.")
    return stray


def _adopt(stray: Stray, actor: Actor | None) -> Instance:
    found = named(stray)
    instance = Instance.objects.create(
        id=UUID(stray.key),
        name=f"{found.environment.name}, adopted",
        owner=found.owner,
        environment=found.environment,
        flavour=found.flavour,
        cloud=stray.cloud,
        display=DEFAULT,
        desired=Desired.STOPPED,
        generation=max(1, stray.generation),
        observed_generation=stray.generation,
        state=State.UNKNOWN,
        phase=Phase(stray.phase),
        reference=stray.reference,
        withheld=REASON,
        message=REASON,
        due=timezone.now(),
    )
    instance.experiments.set(found.experiments)
    transitions.told(instance, REASON, actor=actor)
    stray.delete()
    wake(instance.pk)
    audit.record(
        "instance.adopt",
        f"instance:{instance.pk}",
        actor=actor,
        because=REASON,
        detail={**_named(stray), "labels": stray.labels},
    )
    return instance


def _named(stray: Stray) -> dict[str, str]:
    return {"reference": stray.reference, "cloud": stray.cloud.name}
