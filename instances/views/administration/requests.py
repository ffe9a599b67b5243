"""Requests for more time: those that wait first, each decided with a comment."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Case, IntegerField, Q, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from instances.errors import Conflict, Denied, Invalid
from instances.models import ExtensionRequest
from instances.services import extend as service
from instances.services.lifetimes import LONGEST
from instances.views.common import end_of, refused, user_of
from instances.views.home import kept

from .common import ROWS, administrators, asked, shown, staff, text

RELATED = ("instance__owner", "instance__flavour", "instance__environment", "asked_by", "decided_by")
State = ExtensionRequest.State


@staff
@require_safe
def requests(request: HttpRequest) -> HttpResponse:
    query = asked(request, "state", "search")
    found = ExtensionRequest.objects.select_related(*RELATED)
    if query["state"]:
        found = found.filter(state=query["state"])
    for word in query["search"].split():
        found = found.filter(
            Q(asked_by__name__icontains=word)
            | Q(asked_by__username__icontains=word)
            | Q(instance__name__icontains=word)
            | Q(instance__flavour__name__icontains=word)
        )
    waiting = Case(When(state=State.PENDING, then=Value(0)), default=Value(1), output_field=IntegerField())
    page = Paginator(found.order_by(waiting, "-asked", "-pk"), ROWS).get_page(request.GET.get("page"))
    return shown(
        request,
        "requests.html",
        "requests",
        found=page,
        waiting=ExtensionRequest.objects.filter(state=State.PENDING).count(),
        states=State.choices,
        query=query,
        keep=kept(query),
    )


@administrators(reason="to decide about more time")
@require_http_methods(["GET", "HEAD", "POST"])
def decide(request: HttpRequest, request_id: int) -> HttpResponseBase:
    row = get_object_or_404(ExtensionRequest.objects.select_related(*RELATED), pk=request_id)
    problems: dict[str, str] = {}
    typed = {name: text(request.POST, name).strip() for name in ("until", "comment")}
    status = 200
    if request.method == "POST":
        accept = request.POST.get("decision") == "accept"
        until = _until(typed["until"], row)
        try:
            done = service.decide_extension(
                row.pk, acting_user=user_of(request), accept=accept, comment=typed["comment"], until=until
            )
        except Invalid as error:
            problems, status = error.fields, 422
        except Conflict as error:
            problems, status = {"form": str(error)}, 409
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            given = f"has time until {done.instance.expires:%d %B %Y}" if accept else "was told no"
            messages.success(request, f"{done.asked_by.name} {given}.")
            return redirect("instances:administration_requests")
    today = timezone.now().date()
    return shown(
        request,
        "decide.html",
        "requests",
        status,
        row=row,
        waits=row.state == State.PENDING,
        problems=problems,
        form={"until": typed["until"] or last_day(row), "comment": typed["comment"]},
        earliest=f"{today:%Y-%m-%d}",
        latest=f"{today + LONGEST:%Y-%m-%d}",
    )


def last_day(row: ExtensionRequest) -> str:
    """The day whose end, or some hour of which, is asked for."""
    return f"{row.until - timedelta(seconds=1):%Y-%m-%d}"


def _until(day: str, row: ExtensionRequest) -> datetime:
    """The very moment that was asked for, where its day was left as it is."""
    return row.until if not day or day == last_day(row) else end_of(day) or timezone.now()
