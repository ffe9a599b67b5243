"""What the buttons do: one service each, and a sentence for whoever pressed them."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from auth.digests import session_digest
from instances.errors import Conflict, Denied, InstanceError, Invalid, NotFound
from instances.models import Instance
from instances.policy import Action
from instances.services import connect as connecting
from instances.services import delete as deleting
from instances.services import describe as describing
from instances.services import restart as restarting
from instances.services import start as starting
from instances.services import stop as stopping
from instances.services.visibility import find

from .common import page, user_of

NOTHING: Mapping[str, str] = MappingProxyType({})
STATUS: dict[type[InstanceError], int] = {NotFound: 404, Denied: 403, Conflict: 409, Invalid: 422}


@require_POST
@page
def start(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    return told(
        request,
        lambda: starting.start(instance_id, acting_user=user_of(request)),
        "{} is starting.",
        "instances:progress",
    )


@require_POST
@page
def stop(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    return told(
        request,
        lambda: stopping.stop(instance_id, acting_user=user_of(request)),
        lambda instance: f"{instance.name} is {'stopped' if instance.display_state.settled else 'stopping'}.",
    )


@require_POST
@page
def restart(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    return told(
        request,
        lambda: restarting.restart(instance_id, acting_user=user_of(request)),
        "{} is restarting.",
        "instances:progress",
    )


@require_POST
@page
def delete(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    return told(
        request,
        lambda: deleting.delete(instance_id, acting_user=user_of(request)),
        lambda instance: (
            f"{instance.name} is {'deleted' if instance.display_state.settled else 'being deleted'}."
            " Your home and your data stay."
        ),
        after_page=reverse("instances:home"),
    )


@require_POST
@page
def describe(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    name, notes = request.POST.get("name", ""), request.POST.get("notes", "")
    return told(
        request,
        lambda: describing.describe(instance_id, acting_user=user_of(request), name=name, notes=notes),
        "Saved.",
    )


@require_POST
def connections(request: HttpRequest, instance_id: UUID) -> JsonResponse:
    """A ticket for the pages' own scripts: `{app, mode, monitor}` in, `{url, ticket, protocol}` out, or `{detail}`."""
    if not request.user.is_authenticated:
        return JsonResponse({"detail": "You are signed out. Sign in again to go on."}, status=401)
    try:
        wanted: dict[str, Any] = json.loads(request.body)
        app, mode = str(wanted["app"]), str(wanted.get("mode", "control"))
        monitor = None if wanted.get("monitor") is None else int(wanted["monitor"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return JsonResponse({"detail": "The body must be JSON with app, mode and monitor."}, status=400)
    try:
        seat = connecting.connect(
            instance_id,
            acting_user=user_of(request),
            app=app,
            mode=mode,
            monitor=monitor,
            session=session_digest(request.session.session_key),
        )
    except InstanceError as error:
        answer = {"detail": str(error)}
        if isinstance(error, Conflict):
            answer["state"] = find(instance_id, actor=user_of(request).as_actor(), action=Action.SEE).state
        return JsonResponse(answer, status=_status(error))
    response = JsonResponse({"url": seat.url, "ticket": seat.ticket, "protocol": seat.protocol})
    response.headers["Cache-Control"] = "no-store"
    return response


def told(
    request: HttpRequest,
    act: Callable[[], Instance],
    done: str | Callable[[Instance], str],
    then: str = "",
    *,
    after_page: str = "",
) -> HttpResponseBase:
    """Do it; a script gets 204 or the error's sentence, a plain form is led to the next page."""
    htmx = bool(getattr(request, "htmx", False))
    try:
        instance = act()
    except (Conflict, Invalid) as error:
        if htmx:
            wrong = error.fields if isinstance(error, Invalid) else {}
            return _toast(str(error), "danger", status=_status(error), invalid=wrong)
        messages.error(request, str(error))
        return redirect(_back(request))
    sentence = done.format(instance.name) if isinstance(done, str) else done(instance)
    if then:
        target = reverse(then, args=[instance.pk])
        return HttpResponse(status=204, headers={"HX-Redirect": target}) if htmx else redirect(target)
    if htmx and not (after_page and "/instances/" in _back(request)):
        return _toast(sentence, "success", status=204)
    messages.success(request, sentence)
    target = after_page or _back(request)
    return HttpResponse(status=204, headers={"HX-Redirect": target}) if htmx else redirect(target)


def _toast(
    sentence: str, level: str, *, status: int, invalid: Mapping[str, str] = MappingProxyType({})
) -> HttpResponse:
    """Said in a corner of the page, and what is wrong with a form beside its fields: see fields.js."""
    said: dict[str, object] = {"toast": {"text": sentence, "level": level}}
    if invalid:
        said["invalid"] = dict(invalid)
    return HttpResponse(status=status, headers={"HX-Trigger": json.dumps(said)})


def _status(error: InstanceError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 400)


def _back(request: HttpRequest) -> str:
    came_from = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(
        came_from, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return came_from if safe else reverse("instances:home")
