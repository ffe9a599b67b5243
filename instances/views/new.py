"""The launch page: one form, four sections, and the data that comes with the choice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from auth.data import DataGrant
from auth.models import User
from instances.errors import Conflict, Denied, Invalid
from instances.models import Flavour
from instances.services import launch as launching
from instances.services import lifetimes
from instances.services import options as offering
from instances.services.display import DEFAULT
from instances.services.options import ExperimentChoice, FlavourChoice, LaunchOptions, Wanted

from .common import page, user_of


@dataclass
class Choices:
    """What the form holds, whether it makes sense or not: nothing that was typed is lost."""

    experiments: list[int] = field(default_factory=list)
    environment: str = ""
    flavour: str = ""
    layout: str = "single"
    fit: bool = True
    sizes: tuple[str, str] = ("1920x1080", "1920x1080")
    keyboard: str = "us"
    name: str = ""
    notes: str = ""

    @property
    def display(self) -> dict[str, Any]:
        screens = [_size(text) for text in self.sizes[: 2 if self.layout == "dual" else 1]]
        return {"layout": self.layout, "fit": self.fit, "screens": screens, "keyboard": self.keyboard}


@require_http_methods(["GET", "HEAD", "POST"])
@page
def new(request: HttpRequest) -> HttpResponseBase:
    user = user_of(request)
    if request.method == "POST":
        choices = posted(request.POST)
        try:
            instance = launching.launch(
                acting_user=user,
                experiments=choices.experiments,
                environment=choices.environment,
                flavour=choices.flavour,
                display=choices.display,
                name=choices.name,
                notes=choices.notes,
            )
        except Invalid as error:
            return _form(request, user, choices, errors=error.fields, status=422)
        except Denied as error:
            return _form(request, user, choices, errors={"form": error.decision.because}, status=403)
        except Conflict as error:
            return _form(request, user, choices, errors={"form": str(error)}, status=409)
        return redirect("instances:progress", instance.pk)
    return _form(request, user, None)


@require_safe
@page
def grants(request: HttpRequest) -> HttpResponse:
    """The summary's data section for the chosen experiments."""
    chosen = _numbers(request.GET)
    found, _ = offering.experiment_choices(user_of(request).as_actor(), wanted=Wanted(ids=frozenset(chosen)))
    return render(request, "instances/_grants.html", {"chosen": _chosen(found, chosen)})


@require_safe
@page
def hardware(request: HttpRequest) -> HttpResponse:
    """What can be had for the chosen experiments, and what remains of one's quotas."""
    choices = Choices(experiments=_numbers(request.GET), flavour=request.GET.get("flavour", ""))
    context = _hardware(user_of(request), choices.experiments) | {"choices": choices}
    return render(request, "instances/_hardware.html", context)


@require_safe
@page
def picks(request: HttpRequest) -> HttpResponse:
    """The list of experiments that fit a search, below those that are chosen already."""
    chosen = _numbers(request.GET)
    search = request.GET.get("search", "").strip()[:100].removeprefix("doi:")
    found, more = offering.experiment_choices(
        user_of(request).as_actor(), wanted=Wanted(ids=frozenset(chosen)), search=search
    )
    return render(request, "instances/_picks.html", _listed(found, more) | {"choices": Choices(experiments=chosen)})


def _form(
    request: HttpRequest,
    user: User,
    choices: Choices | None,
    *,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    wanted = Wanted(ids=frozenset(choices.experiments)) if choices else _wanted(request.GET)
    options = offering.launch_options(acting_user=user, wanted=wanted)
    chosen = choices.experiments if choices else first_experiments(options, wanted)
    there = _hardware(user, chosen)
    choices = choices or first_choices(options, there["flavours"], chosen)
    context = there | {
        "options": options,
        "choices": choices,
        "errors": errors or {},
        **_listed(options.experiments, options.more),
        "chosen": _chosen(options.experiments, choices.experiments),
        "sizes": [(f"{width}x{height}", f"{width} × {height}") for width, height in options.resolutions],
        "section": "new",
    }
    return render(request, "instances/new.html", context, status=status)


def _public(choice: ExperimentChoice) -> bool:
    """Known to them only because everybody may read it."""
    return choice.is_open and all(not grant.writable for grant in choice.grants)


def _listed(found: Sequence[ExperimentChoice], more: bool) -> dict[str, Any]:
    return {
        "own": [choice for choice in found if not _public(choice)],
        "public": [choice for choice in found if _public(choice)],
        "more": more,
    }


def _chosen(found: Sequence[ExperimentChoice], ids: list[int]) -> list[tuple[ExperimentChoice, tuple[DataGrant, ...]]]:
    return [(choice, choice.grants) for choice in found if choice.id in ids]


def _wanted(asked: QueryDict) -> Wanted:
    """What a link asks for."""
    return Wanted(
        ids=frozenset(int(text) for text in asked.getlist("experiment") if text.isdecimal() and len(text) < 10),
        proposals=frozenset(text.lower()[:64] for text in asked.getlist("proposal")),
        dois=frozenset(text.lower().removeprefix("doi:")[:200] for text in asked.getlist("doi")),
    )


def _hardware(user: User, experiments: list[int]) -> dict[str, Any]:
    """Flavours under General, Memory and GPU; a group with none is left out."""
    bounds = offering.bounds_for(experiments, acting_user=user)
    flavours = offering.flavour_choices(bounds, acting_user=user)
    groups = [
        (label, [choice for choice in flavours if choice.flavour.group == value])
        for value, label in Flavour.Group.choices
    ]
    return {
        "bounds": bounds,
        "flavours": flavours,
        "groups": [(label, found) for label, found in groups if found],
        "lives": _lives(user, flavours),
    }


def _lives(user: User, flavours: Sequence[FlavourChoice]) -> dict[int, str]:
    """How long an instance would live, in words, by flavour."""
    rules, roles = lifetimes.all_rules(), (user.seen_as or user.as_actor()).roles
    keys = [choice.flavour.pk for choice in flavours]
    return {pk: lifetimes.promised(lifetimes.rule_for(pk, roles, rules)) for pk in keys}


def first_experiments(options: LaunchOptions, wanted: Wanted) -> list[int]:
    """What the link asks for; otherwise the one that has beam time now."""
    asked = [
        choice.id
        for choice in options.experiments
        if choice.id in wanted.ids
        or choice.proposal.lower() in wanted.proposals
        or (choice.doi and choice.doi.lower() in wanted.dois)
    ]
    running = [choice.id for choice in options.experiments if choice.phase == "running" and not _public(choice)]
    return asked or (running if len(running) == 1 else [])


def first_choices(options: LaunchOptions, flavours: list[FlavourChoice], experiments: list[int]) -> Choices:
    """What was chosen last time, as far as it can still be had; otherwise what starts at once."""
    remembered = options.remembered
    display = DEFAULT | remembered.get("display", {})
    environments = [choice.environment.slug for choice in options.environments if choice.available]
    free_first = sorted(flavours, key=lambda choice: choice.position is not None)
    available = [choice.flavour.slug for choice in free_first if choice.available]
    sizes = [f"{size['width']}x{size['height']}" for size in display["screens"]] or ["1920x1080"]
    return Choices(
        experiments=experiments,
        environment=_remembered(remembered.get("environment"), environments),
        flavour=_remembered(remembered.get("flavour"), available),
        layout=display["layout"],
        fit=display["fit"],
        sizes=(sizes[0], sizes[-1]),
        keyboard=display["keyboard"],
    )


def _remembered(value: Any, possible: list[str]) -> str:
    return value if value in possible else next(iter(possible), "")


def posted(form: QueryDict) -> Choices:
    return Choices(
        experiments=_numbers(form),
        environment=form.get("environment", ""),
        flavour=form.get("flavour", ""),
        layout=form.get("layout", "single"),
        fit=form.get("resolution", "fit") == "fit",
        sizes=(form.get("screen0", "1920x1080"), form.get("screen1", "1920x1080")),
        keyboard=form.get("keyboard", "us"),
        name=form.get("name", ""),
        notes=form.get("notes", ""),
    )


def _numbers(form: QueryDict) -> list[int]:
    return [int(text) for text in form.getlist("experiments") if text.isdecimal() and len(text) < 10]


def _size(text: str) -> dict[str, str]:
    width, _, height = text.partition("x")
    return {"width": width, "height": height}
