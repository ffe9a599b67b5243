"""Bringing one instance from what was observed to what is wanted, step by step.

Every step reads the row anew, calls the cloud outside of any transaction, and commits only if it still holds the lease
and nobody changed the wish meanwhile. A worker may die at any line: the next one observes and goes on.
"""

import logging
import random
import time
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from instances.errors import ProviderError, StaleInstance
from instances.models import Instance
from instances.providers.base import Observed, Provider
from instances.services import guests, transitions
from instances.services.clouds import provider_for
from instances.states import Desired, Phase, Progress, State

from . import consoles, guard
from .calls import call
from .leases import held
from .plan import Act, Step, Wish, believes, plan
from .spec import spec_of

log = logging.getLogger(__name__)
PATIENT_FOR = timedelta(seconds=2)
"""A pause longer than this gives the place to other instances; the sweep comes back to this one."""


def reconcile(instance_id: UUID) -> None:
    """Step until the instance is where it should be, or until the next step is not due for a while."""
    with held(instance_id) as lease:
        while lease is not None:
            instance = (
                Instance.objects.select_related("owner", "environment", "flavour", "cloud")
                .filter(pk=instance_id, lease=lease, cloud__isnull=False, waiting_since=None)
                .exclude(state=State.DELETED)
                .defer("thumbnail", "cloud__capacity")
                .first()
            )
            if instance is None:
                return
            try:
                pause = _step(instance)
            except Exception:
                # Nothing of it is written: it is looked at again, ever more patiently, and holds up nobody else.
                log.exception("instance %s", instance.pk)
                failures = instance.failures + 1
                Instance.objects.filter(pk=instance.pk, lease=lease).update(failures=failures)
                pause = _pause(instance, max(backoff(failures), PATIENT_FOR * 2))
            if pause is None:
                return
            time.sleep(pause.total_seconds())


def _step(instance: Instance) -> timedelta | None:
    """One step; how long to pause before the next, or None when the turn is over."""
    cloud = instance.cloud
    assert cloud
    provider = provider_for(cloud)
    try:
        guard.check(cloud)
        with call(cloud, "observe"):
            observed = provider.observe(instance.key)
        wish = wish_of(instance, observed)
        step = plan(wish, observed, waited=_waited(instance, provider.patience), patience=provider.patience)
        if step.state is State.FAILED and instance.state != State.FAILED:
            consoles.keep(instance, cloud, provider)
        if step.act is Act.NOTHING:
            return _commit(instance, wish, observed, step, provider.pace)
        _note(instance, wish, observed)
        with guard.permitted(instance) as wait:
            time.sleep(wait.total_seconds())
            _show(instance, step)
            with call(cloud, step.act.value):
                after = _perform(provider, instance, step)
        if step.settle:
            return _commit(instance, wish, observed, step, provider.pace)
        if after:
            _note(instance, wish, after)
        else:
            guard.give_back(instance)
        return _pause(instance, max(step.again or timedelta(), provider.pace))
    except guard.Held as held_back:
        return _held_back(instance, held_back)
    except ProviderError as error:
        return _failed(instance, error)
    except StaleInstance:
        return timedelta()


def _waited(instance: Instance, patience: timedelta) -> timedelta:
    """Since when nothing was told of its start: time in which its cloud was not to be asked is not its own."""
    now = timezone.now()
    since = instance.state_since
    if now - since > patience:  # seldom: the question is asked only when it matters
        told = instance.events.filter(generation=instance.generation).aggregate(last=Max("at"))["last"]
        since = max(since, told or since)
    return now - since


def wish_of(instance: Instance, observed: Observed) -> Wish:
    """The row as the plan wants it, with what is observed now counted in."""
    missing = instance.missing_since
    return Wish(
        desired=Desired(instance.desired),
        generation=instance.generation,
        state=State(instance.state),
        seen_generation=instance.observed_generation,
        apps=frozenset(instance.environment.apps),
        phase=Phase(instance.phase),
        absences=instance.absences + 1 if observed.phase is Phase.ABSENT else 0,
        missing_for=timezone.now() - missing if missing else None,
        doubted=bool(instance.cloud and instance.cloud.doubt),
    )


def _show(instance: Instance, step: Step) -> None:
    """Say what is about to happen before it does."""
    placed = None
    if instance.state == State.QUEUED and step.act is Act.ENSURE:
        placed = (Progress.PLACING, f"Found a place: {str(instance.cloud).lower()}")
    if step.state != instance.state and not step.settle:
        reason = step.message or step.state.label
        transitions.advance(instance, step.state, actor=None, reason=reason, step=placed)


def _perform(provider: Provider, instance: Instance, step: Step) -> Observed | None:
    if step.act is Act.STOP:
        provider.stop(instance.key)
    elif step.act is Act.DELETE:
        provider.delete(instance.key)
    elif step.act is Act.ENSURE:
        if provider.phones_home:
            guests.expect(instance)
        return provider.ensure(spec_of(instance), partial(transitions.progress, instance))
    return None


def _commit(instance: Instance, wish: Wish, observed: Observed, step: Step, pace: timedelta) -> timedelta | None:
    """Write what was observed and show `step.state`; only what changed is written."""
    _note(instance, wish, observed)
    settled = {"desired": step.settle} if step.settle else {}
    if step.state != instance.state:
        reason = step.message or instance.message or step.state.label
        reached = (Progress.READY, "All set") if step.state is State.READY else None
        transitions.advance(instance, step.state, actor=None, reason=reason, step=reached, failures=0, **settled)
        if step.state is State.DELETED:
            consoles.forget(instance)
    if step.again is None:
        return None
    return _pause(instance, max(step.again, pace) if step.state is not State.UNKNOWN else step.again)


def _note(instance: Instance, wish: Wish, observed: Observed) -> None:
    """Write down what is believed of what was observed; only what changed."""
    facts: dict[str, Any] = {"absences": wish.absences if _counts(wish, observed) else 0}
    if instance.acting:
        facts["acting"] = False
    if believes(wish, observed):
        facts |= {
            "phase": observed.phase,
            "observed_generation": max(observed.generation, instance.observed_generation),
            "apps_ready": sorted(observed.apps),
        }
        if observed.reference:
            facts["reference"] = observed.reference
    moved = {name: value for name, value in facts.items() if getattr(instance, name) != value}
    if moved:
        mine = Instance.objects.filter(pk=instance.pk, lease=instance.lease)
        mine.update(**moved, observed_at=timezone.now())
    if instance.withheld and believes(wish, observed):
        _release(instance, observed)


def _counts(wish: Wish, observed: Observed) -> bool:
    """Whether an absence is a claim that wants proof: of what was there, or is to be deleted."""
    return observed.phase is Phase.ABSENT and (wish.phase is not Phase.ABSENT or wish.desired is Desired.DELETED)


def _release(instance: Instance, observed: Observed) -> None:
    """What was mounted before the right ended is not mounted any more, once this has been seen."""
    mine = Instance.objects.filter(pk=instance.pk, lease=instance.lease, withheld=instance.withheld)
    if observed.phase in (Phase.STARTING, Phase.RUNNING):
        mine.filter(generation__lte=observed.generation).update(withheld="")
    elif observed.phase in (Phase.ABSENT, Phase.STOPPED):
        mine.exclude(desired=Desired.RUNNING).update(withheld="")


def _held_back(instance: Instance, held_back: guard.Held) -> timedelta | None:
    """The cloud is spared; whoever waits for a launch is told why, once."""
    if instance.state == State.QUEUED and not instance.events.filter(
        generation=instance.generation, message=held_back.because
    ):
        transitions.progress(instance, Progress.PLACING, held_back.because)
    return _pause(instance, held_back.pause)


def _failed(instance: Instance, error: ProviderError) -> timedelta | None:
    """Try again later, more and more patiently; or, where it can never work, say so and let go of the wish."""
    log.warning("instance %s on %s: %s", instance.pk, instance.cloud, error.reason)
    failures = instance.failures + 1
    Instance.objects.filter(pk=instance.pk, lease=instance.lease).update(failures=failures)
    starting = instance.desired == Desired.RUNNING and instance.state not in (State.READY, State.UNKNOWN)
    try:
        if starting and not error.retry:
            transitions.advance(instance, State.FAILED, actor=None, reason=error.reason, desired=Desired.STOPPED)
            return None
        if error.retry and instance.state != State.UNKNOWN and failures > 1:
            transitions.advance(instance, State.UNKNOWN, actor=None, reason=error.reason)
    except StaleInstance:
        return timedelta()
    return _pause(instance, backoff(failures))


def backoff(failures: int) -> timedelta:
    """0.5 s doubled with each failure in a row, one minute at most, with jitter."""
    return timedelta(seconds=min(60.0, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.8, 1.2))  # noqa: S311


def _pause(instance: Instance, pause: timedelta) -> timedelta | None:
    if pause <= PATIENT_FOR:
        return pause
    with transaction.atomic():
        Instance.objects.filter(pk=instance.pk, lease=instance.lease).update(due=timezone.now() + pause)
    return None
