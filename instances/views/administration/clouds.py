"""Clouds: how each does, what it holds and may be asked for, and whether a doubted one is to be believed."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from instances.errors import Invalid, NotFound
from instances.models import Cloud, Instance
from instances.reconcile.compared import is_spared
from instances.services import clouds as service
from instances.services import observation, placement
from instances.states import State
from instances.views.common import user_of

from .common import administrators, shown, staff, text

NAMED = 12
"""Of the missing instances, so many by name."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a cloud does, in one word and why."""

    cloud: Cloud
    word: str
    tone: str
    because: str = ""
    since: datetime | None = None

    @property
    def well(self) -> bool:
        return self.tone in ("good", "off")


def conditions(now: datetime) -> list[Condition]:
    """Of all clouds, those in trouble first."""
    stale = set(observation.stale(now))
    found = [condition(cloud, now, cloud.name in stale) for cloud in Cloud.objects.order_by("title", "pk")]
    return sorted(found, key=lambda one: one.well)


def condition(cloud: Cloud, now: datetime, stale: bool) -> Condition:
    if cloud.doubt:
        return Condition(cloud, "In doubt", "bad", cloud.doubt, cloud.doubt_since)
    if cloud.trouble:
        return Condition(cloud, "Silent", "bad", cloud.trouble, cloud.trouble_since)
    if stale:
        because = "Nobody has asked it for long: is a worker running?"
        return Condition(cloud, "Not watched", "bad", because, cloud.observed_at)
    if is_spared(cloud, now):
        return Condition(cloud, "Spared", "warn", f"{cloud.failures} calls in a row failed. One tries again soon.")
    if not cloud.enabled:
        return Condition(cloud, "Switched off", "off")
    return Condition(cloud, "Well", "good")


@staff
@require_safe
def clouds(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    found = conditions(now)
    used = placement.in_use(one.cloud for one in found)
    states: dict[int, dict[State, int]] = defaultdict(dict)
    counted = Instance.objects.exclude(state=State.DELETED).order_by().values_list("cloud", "state")
    for cloud, state, count in counted.annotate(Count("pk")):
        states[cloud][State(state)] = count
    return shown(
        request,
        "clouds.html",
        "clouds",
        rows=[
            {
                "condition": one,
                "cloud": one.cloud,
                "limits": one.cloud.limits,
                "used": used[one.cloud.pk],
                "memory": [mb / 1024 for mb in (used[one.cloud.pk].memory_mb, one.cloud.limits.memory_mb)]
                if one.cloud.limits
                else [],
                "gpus": _gpus(one.cloud, used[one.cloud.pk].gpus),
                "states": [(state, states[one.cloud.pk][state]) for state in State if state in states[one.cloud.pk]],
                "held": sum(states[one.cloud.pk].values()),
                "open": one.cloud.closed_until if is_spared(one.cloud, now) else None,
            }
            for one in found
        ],
    )


@administrators(reason="to change a cloud")
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, cloud_id: int) -> HttpResponseBase:
    cloud = get_object_or_404(Cloud, pk=cloud_id)
    problems: dict[str, str] = {}
    form: dict[str, Any] = {"enabled": cloud.enabled, "rate": f"{cloud.rate:g}"}
    form |= {"burst": cloud.burst, "concurrency": cloud.concurrency}
    if request.method == "POST":
        form = {name: text(request.POST, name).strip() for name in form}
        try:
            service.change_cloud(
                cloud.pk,
                acting_user=user_of(request),
                enabled=bool(form["enabled"]),
                rate=_number(form["rate"]),
                burst=_whole(form["burst"]),
                concurrency=_whole(form["concurrency"]),
            )
        except Invalid as error:
            problems = error.fields
        else:
            messages.success(request, f"{cloud} is changed. It holds from the next call on.")
            return redirect("instances:administration_clouds")
    held = Instance.objects.filter(cloud=cloud).exclude(state=State.DELETED).count()
    status = 422 if problems else 200
    return shown(request, "cloud.html", "clouds", status, cloud=cloud, form=form, problems=problems, held=held)


@administrators(reason="to say that instances are gone")
@require_http_methods(["GET", "HEAD", "POST"])
def gone(request: HttpRequest, cloud_id: int) -> HttpResponseBase:
    cloud = get_object_or_404(Cloud, pk=cloud_id)
    problems: dict[str, str] = {}
    because = text(request.POST, "because")
    if request.method == "POST":
        try:
            count = service.believe(cloud.pk, acting_user=user_of(request), because=because)
        except Invalid as error:
            problems = error.fields
        except NotFound as error:
            messages.info(request, str(error))
            return redirect("instances:administration_clouds")
        else:
            words = "1 instance counts" if count == 1 else f"{count} instances count"
            messages.success(request, f"{words} as gone. {cloud} is believed again.")
            return redirect("instances:administration_clouds")
    missing = service.missing_from(cloud).select_related("owner").order_by("name", "pk").defer("thumbnail", "notes")
    return shown(
        request,
        "gone.html",
        "clouds",
        422 if problems else 200,
        cloud=cloud,
        missing=missing[:NAMED],
        missing_count=missing.count(),
        problems=problems,
        because=because,
    )


def _gpus(cloud: Cloud, used: Counter[str]) -> list[tuple[str, int, int]]:
    """By model: promised, and there."""
    limits = cloud.limits
    return [(model, used[model], count) for model, count in sorted(limits.gpus.items())] if limits else []


def _number(typed: str) -> float | None:
    try:
        return float(typed)
    except ValueError:
        return None


def _whole(typed: str) -> int | None:
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else None
