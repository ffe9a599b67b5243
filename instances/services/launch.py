"""Launching: a row, its audit event and the wake-up commit together, or nothing does."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from auth import audit
from auth.access import Actor
from auth.models import Experiment, User
from instances.errors import Denied, Invalid
from instances.models import Environment, Flavour, Instance
from instances.policy import OVERSEERS, may_launch
from instances.states import Progress

from . import grants as data
from . import queue, quotas, transitions
from .display import Display, validated
from .experiments import entitlements_of, takes_part
from .mail import Kind, notify
from .wake import wake

IN_LINE = "Waiting in line for a place"
NAME_LENGTH, NOTES_LENGTH = 100, 2000


def launch(
    *,
    acting_user: User,
    experiments: list[int],
    environment: str,
    flavour: str,
    display: dict[str, Any],
    name: str = "",
    notes: str = "",
) -> Instance:
    """A new instance of `acting_user`, queued for a worker, or in line where every cloud that could run it is full.

    Invalid names the fields that make no sense, and the quota that leaves no room; Denied carries the reason why not.
    """
    actor = acting_user.as_actor()
    chosen, found_environment, found_flavour, screens = _check(experiments, environment, flavour, display, name, notes)
    entitlements = entitlements_of(actor, chosen)
    refusals = tuple(entitled.because for entitled in entitlements.values() if not entitled)
    decision = may_launch(actor, takes_part=takes_part(actor))
    if not decision:
        raise Denied(decision)
    if refusals:
        raise Invalid({"experiments": refusals[0]})
    if not chosen and not actor.has(*OVERSEERS):
        raise Invalid({"experiments": "Choose at least one experiment: its data is what the instance is for."})
    with transaction.atomic():
        _remember(acting_user, environment, flavour, screens)
        quotas.lock()
        quotas.check(actor, found_flavour, chosen)
        cloud = queue.find_place(found_flavour, found_environment)
        instance = Instance.objects.create(
            name=name.strip() or _default_name(found_environment, chosen),
            notes=notes.strip(),
            owner=acting_user,
            environment=found_environment,
            flavour=found_flavour,
            cloud=cloud,
            waiting_since=None if cloud else timezone.now(),
            display=screens,
            **data.columns(data.granted_by(entitlements)),
        )
        instance.experiments.set(chosen)
        _recorded(instance, actor, decision.because)
    return instance


def queued(instance: Instance) -> None:
    """The first step, for whoever watches: a worker sees to it now, or as soon as there is room."""
    transitions.progress(instance, Progress.QUEUED, IN_LINE if instance.waiting_since else "Waiting for a worker")
    if instance.waiting_since:
        queue.moved()
    else:
        wake(instance.pk)


def _check(
    experiments: list[int], environment: str, flavour: str, display: dict[str, Any], name: str, notes: str
) -> tuple[list[Experiment], Environment, Flavour, Display]:
    wrong: dict[str, str] = {}
    chosen = list(Experiment.objects.filter(pk__in=experiments).select_related("proposal", "instrument"))
    if len(chosen) != len(set(experiments)):
        wrong["experiments"] = "One of the chosen experiments does not exist any more. Choose again."
    found_environment = Environment.objects.filter(slug=environment, visible=True).first()
    if not found_environment:
        wrong["environment"] = "Choose an environment: a desktop or JupyterLab."
    found_flavour = Flavour.objects.filter(slug=flavour, visible=True).first()
    if not found_flavour:
        wrong["flavour"] = "Choose the hardware that your analysis needs."
    try:
        screens = validated(display)
    except Invalid as error:
        wrong |= error.fields
    if len(name.strip()) > NAME_LENGTH:
        wrong["name"] = f"A name has at most {NAME_LENGTH} characters."
    if len(notes.strip()) > NOTES_LENGTH:
        wrong["notes"] = f"Notes have at most {NOTES_LENGTH} characters."
    if wrong or not found_environment or not found_flavour:
        raise Invalid(wrong)
    return chosen, found_environment, found_flavour, screens


def _default_name(environment: Environment, experiments: list[Experiment]) -> str:
    return f"{environment.name} for {experiments[0].proposal}" if experiments else environment.name


def _remember(user: User, environment: str, flavour: str, display: Display) -> None:
    """The next launch page starts from these choices."""
    # Not against rows that only refer to the person: those are written by whoever holds the quotas' lock meanwhile.
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    user.preferences["launch"] = {"environment": environment, "flavour": flavour, "display": display}
    user.save(update_fields=["preferences"])


def _recorded(instance: Instance, actor: Actor, because: str) -> None:
    queued(instance)
    notify(instance.owner, Kind.CREATED, key=f"created:{instance.pk}", instance=instance, until=instance.expires)
    audit.record(
        "instance.launch",
        f"instance:{instance.pk}",
        actor=actor,
        because=because,
        detail={
            "environment": instance.environment.slug,
            "flavour": instance.flavour.slug,
            "cloud": instance.cloud.name if instance.cloud else None,
            "grants": instance.grants,
        },
    )
