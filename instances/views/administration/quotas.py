"""Quotas: what is set, how much of it is in use, setting and removing one."""

from typing import Any, NamedTuple

from django.contrib import messages
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from auth.access import Role
from auth.models import Instrument, Proposal, User
from instances.errors import Denied, Invalid, NotFound
from instances.models import Flavour, Quota
from instances.quotas import ALL_GPUS, Limits, Scope, amount, label
from instances.services import quota_settings as service
from instances.services.quota_use import readings
from instances.services.roles import reason_problem
from instances.views.common import refused, user_of

from .common import administrators, shown, staff, text

FOR = {
    Scope.GLOBAL: "Everybody together",
    Scope.PERSON: "Each person, or one of them",
    Scope.ROLE: "Each holder of a role",
    Scope.PROPOSAL: "Each proposal, or one of them",
    Scope.INSTRUMENT: "Each instrument, or one of them",
}


class Name(NamedTuple):
    """How one of many is named in the form."""

    field: str
    subject: str
    model: type[models.Model]
    lookup: str
    missing: str


NAMED = {
    Scope.PERSON: Name("person", "user", User, "username__iexact", "Nobody has this login."),
    Scope.PROPOSAL: Name("proposal", "proposal", Proposal, "code__iexact", "There is no proposal with this code."),
    Scope.INSTRUMENT: Name("instrument", "instrument", Instrument, "code", "There is no such instrument."),
}
SUBJECTS = ("scope", "person", "role", "proposal", "instrument")
MOST = 1_000_000
"""A limit above it is a mistake of typing."""
NUMBERS = ("instances", "cores", "memory_gb")


@staff
@require_safe
def quotas(request: HttpRequest) -> HttpResponse:
    rows = Quota.objects.select_related("user", "proposal", "instrument", "set_by")
    return shown(request, "quotas.html", "quotas", rows=readings(list(rows)))


@administrators(reason="to set a quota")
@require_http_methods(["GET", "HEAD", "POST"])
def set_one(request: HttpRequest, quota_id: int | None = None) -> HttpResponseBase:
    """A new one, or other limits for one that there is."""
    row = _row(quota_id) if quota_id else None
    models_there = gpu_models(row)
    form, problems = typed(request, row, models_there), {}
    if request.method == "POST":
        try:
            made = service.set_quota(acting_user=user_of(request), **read(form, models_there))
        except Invalid as error:
            problems = error.fields
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            limits = ", ".join(amount(resource, limit, named=True) for resource, limit in made.limits)
            messages.success(request, f"The quota of {made} is {limits}.")
            return redirect("instances:administration_quotas")
    return shown(
        request,
        "quota.html",
        "quotas",
        422 if problems else 200,
        quota=row,
        form=form,
        gpus=[
            (
                model,
                "All GPUs together" if model == ALL_GPUS else label(f"gpu:{model}"),
                form[f"gpu.{model}"],
                problems.get(f"gpu:{model}"),
            )
            for model in models_there
        ],
        problems=problems,
        scopes=FOR,
        every_role=list(Role),
        instruments=Instrument.objects.order_by("code"),
    )


@administrators(reason="to remove a quota")
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, quota_id: int) -> HttpResponseBase:
    row = _row(quota_id)
    problems: dict[str, str] = {}
    because = text(request.POST, "because")
    if request.method == "POST":
        try:
            service.remove_quota(acting_user=user_of(request), quota=row, because=because)
        except Invalid as error:
            problems = error.fields
        except NotFound as error:
            raise Http404(str(error)) from error
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            messages.success(request, f"The quota of {row} is removed.")
            return redirect("instances:administration_quotas")
    limits = [(label(resource), amount(resource, limit)) for resource, limit in row.limits]
    context = {"quota": row, "limits": limits, "problems": problems, "because": because}
    return shown(request, "quota_remove.html", "quotas", 422 if problems else 200, **context)


def gpu_models(row: Quota | None) -> list[str]:
    """Those that flavours have, and those that `row` names already."""
    found = set(Flavour.objects.exclude(gpu_model="").values_list("gpu_model", flat=True))
    return [*sorted(found | set(row.gpus if row else ()) - {ALL_GPUS}), ALL_GPUS]


def typed(request: HttpRequest, row: Quota | None, gpus: list[str]) -> dict[str, str]:
    """What the form holds: as sent, or as the quota is."""
    names = (*SUBJECTS, *NUMBERS, *(f"gpu.{model}" for model in gpus), "because")
    if request.method == "POST":
        form = {name: text(request.POST, name).strip() for name in names}
        return form | (_about(row) if row else {})
    form = dict.fromkeys(names, "") | {"scope": text(request.GET, "scope"), "person": text(request.GET, "person")}
    if row:
        form |= _about(row)
        form |= {"instances": _number(row.instances), "cores": _number(row.cores)}
        form |= {"memory_gb": _number(row.memory_mb / 1024 if row.memory_mb is not None else None)}
        form |= {f"gpu.{model}": _number(count) for model, count in row.gpus.items()}
    return form


def read(form: dict[str, str], gpus: list[str]) -> dict[str, Any]:
    """What the form asks for. Invalid with a sentence for each field that makes no sense."""
    problems: dict[str, str] = {}
    scope = Scope(form["scope"]) if form["scope"] in set(Scope) else None
    if scope is None:
        problems["scope"] = "Choose whom it is for."
    subject: dict[str, Any] = {}
    if scope is Scope.ROLE:
        subject["role"] = Role(form["role"]) if form["role"] in set(Role) else None
    elif scope in NAMED and form[NAMED[scope].field]:
        name = NAMED[scope]
        row = name.model._default_manager.filter(**{name.lookup: form[name.field]}).first()
        if row is None:
            problems[name.field] = name.missing
        subject[name.subject] = row
    numbers = {name: _read(form[name], name, problems, whole=name == "instances") for name in NUMBERS}
    counts = {model: _read(form[f"gpu.{model}"], f"gpu:{model}", problems, whole=True) for model in gpus}
    if problems:
        raise Invalid(problems | reason_problem(" ".join(form["because"].split())))
    memory = numbers["memory_gb"]
    limits = Limits(
        instances=None if numbers["instances"] is None else int(numbers["instances"]),
        cores=numbers["cores"],
        memory_mb=None if memory is None else round(memory * 1024),
        gpus={model: int(count) for model, count in counts.items() if count is not None},
    )
    return {"scope": scope, "limits": limits, "because": form["because"], **subject}


def _read(words: str, name: str, problems: dict[str, str], *, whole: bool) -> float | None:
    if not words:
        return None
    try:
        number = float(words.replace(",", "."))
    except ValueError:
        number = -1
    if not 0 <= number <= MOST or (whole and number % 1):
        problems[name] = f"Give {'a whole' if whole else 'a'} number from 0 on, or nothing for no limit."
    return number


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _row(quota_id: int) -> Quota:
    return get_object_or_404(Quota.objects.select_related("user", "proposal", "instrument"), pk=quota_id)


def _about(row: Quota) -> dict[str, str]:
    """Whom it is for, which does not change."""
    return {
        "scope": row.scope,
        "person": row.user.username if row.user else "",
        "role": row.role,
        "proposal": row.proposal.code if row.proposal else "",
        "instrument": row.instrument.code if row.instrument else "",
    }
