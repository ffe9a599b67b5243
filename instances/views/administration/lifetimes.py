"""How long instances live: the rules, and instances that an administrator keeps from ending."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from auth.access import Role
from instances.errors import Conflict, Invalid
from instances.models import Flavour, LifetimeRule
from instances.policy import Action
from instances.services import keep as keeping
from instances.services import lifetime_rules as service
from instances.services.lifetimes import all_rules
from instances.services.visibility import find
from instances.views.common import user_of

from .common import administrators, shown, staff, text

FIELDS = ("role", "flavour", *service.LENGTHS, "because")
NEW = {"hours": "336", "idle_hours": "96", "delete_after_days": "30", "extend_times": "2", "extend_hours": "168"}


@staff
@require_safe
def lifetimes(request: HttpRequest) -> HttpResponse:
    return shown(request, "lifetimes.html", "lifetimes", rules=all_rules())


@administrators(reason="to change how long instances live")
@require_http_methods(["GET", "HEAD", "POST"])
def rule(request: HttpRequest, rule_id: int | None = None) -> HttpResponseBase:
    """A new one, or one that there is."""
    row = get_object_or_404(LifetimeRule.objects.select_related("flavour"), pk=rule_id) if rule_id else None
    problems: dict[str, str] = {}
    if request.method == "POST":
        form: dict[str, Any] = {name: text(request.POST, name).strip() for name in FIELDS}
        form["on_request"] = bool(request.POST.get("on_request"))
        try:
            made = service.set_rule(acting_user=user_of(request), rule=row, **read(form))
        except Invalid as error:
            problems = error.fields
        else:
            messages.success(request, f"The lifetime of {made} is set. Instances are looked at anew.")
            return redirect("instances:administration_lifetimes")
    else:
        form = _form_of(row)
    return shown(
        request,
        "lifetime.html",
        "lifetimes",
        422 if problems else 200,
        row=row,
        form=form,
        problems=problems,
        every_role=list(Role),
        flavours=Flavour.objects.all(),
    )


@administrators(reason="to change how long instances live")
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, rule_id: int) -> HttpResponseBase:
    row = get_object_or_404(LifetimeRule.objects.select_related("flavour"), pk=rule_id)
    problems: dict[str, str] = {}
    because = text(request.POST, "because")
    if request.method == "POST":
        try:
            service.remove_rule(acting_user=user_of(request), rule=row, because=because)
        except Invalid as error:
            problems = error.fields
        else:
            messages.success(request, f"The rule for {row} is gone. Instances are looked at anew.")
            return redirect("instances:administration_lifetimes")
    status = 422 if problems else 200
    return shown(request, "lifetime_remove.html", "lifetimes", status, row=row, problems=problems, because=because)


@administrators(reason="to keep an instance from ending")
@require_http_methods(["GET", "HEAD", "POST"])
def pin(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    """Pin it, or take the pin away."""
    user = user_of(request)
    instance = find(instance_id, actor=user.as_actor(), action=Action.PIN)
    problems: dict[str, str] = {}
    because = text(request.POST, "because")
    if request.method == "POST":
        act = keeping.unpin if request.POST.get("what") == "unpin" else keeping.pin
        try:
            act(instance.pk, acting_user=user, because=because)
        except Invalid as error:
            problems = error.fields
        except Conflict as error:
            problems = {"form": str(error)}
        else:
            done = "ends like any other again" if act is keeping.unpin else "does not end until you unpin it"
            messages.success(request, f"{instance.name} {done}.")
            return redirect("instances:instance", instance.pk)
    status = 422 if problems else 200
    return shown(request, "pin.html", "instances", status, instance=instance, problems=problems, because=because)


def read(form: dict[str, Any]) -> dict[str, Any]:
    """What the form asks for. Invalid with a sentence for each field that holds no number or names nothing."""
    problems: dict[str, str] = {}
    flavour = Flavour.objects.filter(slug=form["flavour"]).first() if form["flavour"] else None
    if form["flavour"] and flavour is None:
        problems["flavour"] = "There is no such hardware."
    lengths: dict[str, int | None] = {}
    for name, (_, sentence) in service.LENGTHS.items():
        typed = form[name]
        lengths[name] = int(typed) if typed.isdecimal() and len(typed) < 7 else None
        if typed and lengths[name] is None:
            problems[name] = sentence
    if problems:
        raise Invalid(problems)
    return {
        "flavour": flavour,
        "role": form["role"],
        "on_request": form["on_request"],
        "because": form["because"],
        **lengths,
    }


def _form_of(row: LifetimeRule | None) -> dict[str, Any]:
    if row is None:
        return NEW | {"role": "", "flavour": "", "because": "", "on_request": True}
    numbers = {name: getattr(row, name) for name in service.LENGTHS}
    shown_numbers = {name: "" if number is None else str(number) for name, number in numbers.items()}
    slug = row.flavour.slug if row.flavour else ""
    return shown_numbers | {"role": row.role, "flavour": slug, "because": "", "on_request": row.on_request}
