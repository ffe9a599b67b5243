"""Roles: who holds which, giving one by hand, ending one."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from auth.access import Role
from auth.models import Experiment, Instrument, RoleGrant, User
from instances.errors import Conflict, Denied, Invalid
from instances.services import roles as service
from instances.views.common import end_of, refused, user_of
from instances.views.home import kept

from .common import ROWS, administrators, asked, shown, staff, text
from .overview import SOON

SOURCES = {"person": "given by hand", "claim": "from the identity provider", "catalogue": "from a catalogue"}


@staff
@require_safe
def roles(request: HttpRequest) -> HttpResponse:
    query, now = asked(request, "role", "source", "ending", "search"), timezone.now()
    found = RoleGrant.objects.in_force(now).select_related("user", "instrument", "experiment__proposal")
    if query["role"]:
        found = found.filter(role=query["role"])
    if query["source"]:
        found = found.filter(source__startswith=f"{query['source']}:")
    if query["ending"]:
        found = found.filter(until__lte=now + SOON)
    for word in query["search"].split():
        found = found.filter(
            Q(user__name__icontains=word)
            | Q(user__username__icontains=word)
            | Q(instrument__code__icontains=word)
            | Q(experiment__proposal__code__icontains=word)
        )
    order = ("until", "user__name", "pk") if query["ending"] else ("user__name", "role", "pk")
    page = Paginator(found.order_by(*order), ROWS).get_page(request.GET.get("page"))
    return shown(
        request,
        "roles.html",
        "roles",
        found=page,
        rows=[(grant, given_by(grant)) for grant in page],
        query=query,
        keep=kept(query),
        every_role=list(Role),
        sources=SOURCES,
    )


@administrators(reason="to give somebody a role")
@require_http_methods(["GET", "HEAD", "POST"])
def grant(request: HttpRequest) -> HttpResponseBase:
    typed = request.POST if request.method == "POST" else request.GET
    form = {name: text(typed, name).strip() for name in FIELDS}
    problems: dict[str, str] = {}
    if request.method == "POST":
        try:
            made = service.grant_role(acting_user=user_of(request), **read(form))
        except Invalid as error:
            problems = error.fields
        except Conflict as error:
            problems = {"person": str(error)}
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            messages.success(request, f"{made.user.name} is {service.described(made)} until {made.until:%d %B %Y}.")
            return redirect("instances:administration_person", made.user_id)
    today = timezone.now().date()
    return shown(
        request,
        "grant.html",
        "roles",
        422 if problems else 200,
        form=form | {"until": form["until"] or f"{today + service.USUAL:%Y-%m-%d}"},
        problems=problems,
        every_role=list(Role),
        instruments=Instrument.objects.order_by("code"),
        earliest=f"{today:%Y-%m-%d}",
        latest=f"{today + service.LONGEST - timedelta(days=1):%Y-%m-%d}",
    )


@administrators(reason="to end somebody's role")
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest, grant_id: int) -> HttpResponseBase:
    row = get_object_or_404(RoleGrant.objects.select_related("user", "instrument", "experiment__proposal"), pk=grant_id)
    problems: dict[str, str] = {}
    status, because = 200, text(request.POST, "because")
    if request.method == "POST":
        try:
            service.end_role(acting_user=user_of(request), grant=row, because=because)
        except Invalid as error:
            problems, status = error.fields, 422
        except Conflict as error:
            problems, status = {"": str(error)}, 409
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            messages.success(request, f"{row.user.name} is no longer {service.described(row)}.")
            return redirect("instances:administration_person", row.user_id)
    by_hand = row.source.startswith(service.BY_HAND)
    over = bool(row.ended or (row.until and row.until <= timezone.now()))
    return shown(
        request,
        "end.html",
        "roles",
        status,
        grant=row,
        what=service.described(row),
        given_by=given_by(row),
        elsewhere="" if by_hand else service.where_from(row),
        over=over,
        problems=problems,
        because=because,
    )


FIELDS = ("person", "role", "instrument", "experiment", "until", "because")


def read(form: dict[str, str]) -> dict[str, Any]:
    """What the form asks for. Invalid with a sentence for each field that names nothing."""
    problems: dict[str, str] = {}
    person = User.objects.filter(username__iexact=form["person"]).first()
    if person is None:
        problems["person"] = "Nobody has this login. Find them under People, and give the role from their page."
    if form["role"] not in set(Role):
        problems["role"] = "Choose a role."
    instrument = Instrument.objects.filter(code=form["instrument"]).first() if form["instrument"] else None
    if form["instrument"] and instrument is None:
        problems["instrument"] = "There is no such instrument."
    experiment = None
    if form["experiment"]:
        experiment, problem = _experiment(form["experiment"])
        if problem:
            problems["experiment"] = problem
    until = end_of(form["until"])
    if until is None:
        problems["until"] = "Give the last day on which the role holds."
    if problems:
        problems |= service.reason_problem(" ".join(form["because"].split()))
        raise Invalid(problems)
    return {
        "person": person,
        "role": Role(form["role"]),
        "instrument": instrument,
        "experiment": experiment,
        "until": until,
        "because": form["because"],
    }


def given_by(row: RoleGrant) -> str:
    """In words, what a role comes from."""
    kind, _, name = row.source.partition(":")
    if kind == "person" and name.isdigit():
        giver = User.objects.filter(pk=int(name)).values_list("name", flat=True).first()
        return f"by hand, {giver or 'somebody who is gone'}"
    return {"catalogue": f"catalogue {name}", "claim": f"signing in through {name}"}.get(kind, row.source)


def _experiment(words: str) -> tuple[Experiment | None, str]:
    """By the catalogue's key, or by its proposal where that has only one."""
    by_key = Experiment.objects.filter(key=words).first()
    if by_key:
        return by_key, ""
    of_proposal = list(Experiment.objects.filter(proposal__code__iexact=words).order_by("-start")[:6])
    if len(of_proposal) == 1:
        return of_proposal[0], ""
    if not of_proposal:
        return None, "There is no experiment with this key, and no proposal with this code."
    keys = ", ".join(row.key for row in of_proposal[:5])
    return None, f"{of_proposal[0].proposal} has several experiments. Give the key of one: {keys}."
