"""Orphans: what a cloud holds in our name and no row knows, made an instance again, or deleted."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import Experiment, User
from instances.errors import Conflict, Denied, NotFound
from instances.models import Environment, Flavour, Instance, Stray
from instances.policy import may_administer
from instances.states import Desired, Phase, State

from . import transitions
from .display import DEFAULT
from .wake import wake

REASON = (
    "It was found in its cloud and adopted. It is stopped, because nobody knows which data it holds: start it anew."
)


def adopt(stray_id: int, *, acting_user: User) -> Instance:
    """Make an orphan an instance of whoever its labels name. It is closed to everybody and stops: the portal does not
    know what data it has mounted. Its owner's home stays, and the next start gives what its owner may have then.
    """
    actor = _administrator(acting_user)
    with transaction.atomic():
        return _adopt(_orphan(stray_id), actor)


def adopt_by_policy(stray: Stray) -> Instance:
    """As the site's policy wants it (VISA_ORPHANS), without anybody asking."""
    with transaction.atomic():
        return _adopt(_orphan(stray.pk), None)


def delete_stray(stray_id: int, *, acting_user: User) -> Stray:
    """Have an orphan deleted in its cloud, with the next look at it."""
    actor = _administrator(acting_user)
    with transaction.atomic():
        stray = _orphan(stray_id)
        stray.fate, stray.trouble = Stray.Fate.DELETE, ""
        stray.save(update_fields=["fate", "trouble"])
        audit.record(
            "stray.delete", f"cloud:{stray.cloud.name}", actor=actor, detail={"instance": stray.key, **_named(stray)}
        )
    return stray


def _administrator(acting_user: User) -> Actor:
    actor = acting_user.as_actor()
    if not (decision := may_administer(actor)):
        raise Denied(decision)
    return actor


def _orphan(stray_id: int) -> Stray:
    rows = Stray.objects.select_for_update(of=("self",)).select_related("cloud")
    stray = rows.filter(pk=stray_id, kind=Stray.Kind.ORPHAN).first()
    if stray is None:
        raise NotFound("It is not there any more: its cloud no longer lists it.")
    return stray


def _adopt(stray: Stray, actor: Actor | None) -> Instance:
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
    instance = Instance.objects.create(
        id=UUID(stray.key),
        name=f"{environment.name}, adopted",
        owner=owner,
        environment=environment,
        flavour=flavour,
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
    ids = [int(text) for text in labels.get("experiments", "").split(",") if text.isdecimal()]
    instance.experiments.set(Experiment.objects.filter(pk__in=ids))
    transitions.told(instance, REASON, actor=actor)
    stray.delete()
    wake(instance.pk)
    audit.record(
        "instance.adopt",
        f"instance:{instance.pk}",
        actor=actor,
        because=REASON,
        detail={**_named(stray), "labels": labels},
    )
    return instance


def _named(stray: Stray) -> dict[str, str]:
    return {"reference": stray.reference, "cloud": stray.cloud.name}
