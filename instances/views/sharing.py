"""Who is in an instance, whom its owner let in, and letting people in and out."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from auth.access import Actor
from instances.errors import Conflict, Invalid
from instances.models import AccessRequest, Instance, Member
from instances.models.access_request import Answer
from instances.models.connection import App, Mode
from instances.models.instance import Alone
from instances.policy import Action, may
from instances.services import answer as answering
from instances.services import ask as asking
from instances.services import invite as inviting
from instances.services import members, presence, requests, transfer
from instances.services import share as sharing
from instances.services import unshare as unsharing
from instances.services.visibility import facts, find

from .actions import told
from .common import context_of, end_of, page, user_of

RECENT = timedelta(minutes=10)
"""For which an answer is shown to whoever asked."""


@dataclass(frozen=True, slots=True)
class Present:
    """Somebody who is there now, through however many windows."""

    account: int
    name: str
    initials: str
    owner: bool
    you: bool
    mode: str
    """`control`, `watch`, or `jupyter` for whoever is in JupyterLab alone."""
    screens: tuple[int, ...]


def people_of(actor: Actor, instance: Instance) -> dict[str, Any]:
    """What the panel shows to those who may look into the instance, or look after it; nothing to others."""
    subject = facts(instance)
    watches, controls = may(actor, Action.WATCH, subject), may(actor, Action.CONTROL, subject)
    shown = bool(watches or may(actor, Action.INSPECT, subject))
    shares = bool(may(actor, Action.SHARE, subject))
    left = presence.bounded(instance, actor, Mode.CONTROL if controls else Mode.WATCH)
    return {
        "shows_people": shown,
        "mode": left or Mode.WATCH,
        "alone": [(one.value, one.label, one == instance.alone) for one in Alone] if shares else [],
        "kept_from_working": bool(controls) and left != Mode.CONTROL,
        "present": _present(actor, instance) if shown else [],
        "members": list(instance.members.select_related("user")) if shown else [],
        "offered_to_me": instance.members.filter(user__in=actor.accounts, offered__isnull=False).exists(),
        "invitations": list(inviting.open_ones(instance)) if shares else [],
        "asks_outside": settings.SHARE_OUTSIDE == "confirm",
        "candidates": members.candidates(instance) if shares else [],
        "accounts": actor.accounts,
    } | asking_of(actor, instance)


@require_POST
@page
def invite(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    """The only page that ever shows the code of an invitation."""
    actor, typed = user_of(request).as_actor(), request.POST
    day = typed.get("until", "")
    until = end_of(day) if day else None
    try:
        if day and until is None:
            raise Invalid({"until": "Choose a day, or leave it empty."})
        made, code = inviting.invite(
            instance_id,
            acting_user=user_of(request),
            role=typed.get("role", ""),
            until=until,
            outside=typed.get("outside") == "yes",
        )
    except (Conflict, Invalid) as error:
        messages.error(request, str(error))
        return redirect("instances:instance", instance_id)
    link = f"{settings.PORTAL_URL}{reverse('instances:join')}#{code}"
    context = context_of(actor, made.instance) | {"invitation": made, "link": link}
    answer = render(request, "instances/invited.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@page
def take_back(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    try:
        which = UUID(request.POST.get("invitation", ""))
    except ValueError:
        raise Http404 from None
    return told(
        request,
        lambda: inviting.take_back(which, acting_user=user_of(request)),
        "The invitation is not valid any more.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest) -> HttpResponseBase:
    """The code comes in the address's fragment, which browsers send to nobody; a script puts it into the form.

    Without a script it can be typed there.
    """
    if not request.user.is_authenticated:
        return render(request, "instances/join-first.html")
    wrong = ""
    if request.method == "POST":
        try:
            member = inviting.come_in(request.POST.get("code", "")[:200], acting_user=user_of(request))
        except Conflict as error:
            wrong = str(error)
        else:
            messages.success(request, f"{member.instance.owner.name} has let you in.")
            return redirect("instances:instance", member.instance_id)
    return render(request, "instances/join.html", {"wrong": wrong}, status=409 if wrong else 200)


def asking_of(actor: Actor, instance: Instance) -> dict[str, Any]:
    """For the owner, those who ask to be let in; for anybody else, their own request, open or answered lately."""
    if may(actor, Action.APPROVE, facts(instance)):
        asked = instance.requests.filter(answered=None).select_related("user")
        return {"askers": [(one, requests.outside(instance, one.user)) for one in asked], "minutes": answering.MINUTES}
    shown = Q(answered=None) | Q(answered__gt=timezone.now() - RECENT)
    return {"request_to_owner": instance.requests.filter(shown, user__in=actor.accounts).order_by("-asked").first()}


def _present(actor: Actor, instance: Instance) -> list[Present]:
    seats = instance.connections.filter(closed=None).select_related("user__linked_to").order_by("opened")
    found: dict[int, list[Any]] = {}
    for seat in seats:
        found.setdefault(seat.user.person.pk, []).append(seat)
    owner = instance.owner.linked_to_id or instance.owner_id
    people = []
    for account, held in found.items():
        person = held[0].user.person
        modes = {seat.mode if seat.app == App.DESKTOP else "jupyter" for seat in held}
        mode = next(mode for mode in (Mode.CONTROL, Mode.WATCH, "jupyter") if mode in modes)
        screens = tuple(sorted({seat.monitor for seat in held if seat.monitor}))
        you = account in actor.accounts
        people.append(Present(account, person.name, person.initials, account == owner, you, str(mode), screens))
    return sorted(people, key=lambda one: (not one.owner, one.name))


@require_safe
@page
def people(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    """The panel anew, for pages that were told that somebody came, left, or may something else now."""
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.SEE)
    context = people_of(actor, instance)
    if not context["shows_people"]:
        raise Http404
    return render(request, "instances/_people.html", context_of(actor, instance) | context)


@require_safe
@page
def candidates(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    actor = user_of(request).as_actor()
    instance = find(instance_id, actor=actor, action=Action.SHARE)
    search = request.GET.get("search", "")[:100]
    context = {"candidates": members.candidates(instance, search), "search": search}
    return render(request, "instances/_candidates.html", context)


@require_POST
@page
def share(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    typed = request.POST
    day = typed.get("until", "")

    def act() -> Instance:
        until = end_of(day) if day else None
        if day and until is None:
            raise Invalid({"until": "Choose a day, or leave it empty."})
        member = sharing.share(
            instance_id,
            acting_user=user_of(request),
            user=_number(typed.get("user", "")),
            role=typed.get("role", ""),
            until=until,
        )
        made.append(member)
        return member.instance

    made: list[Member] = []
    return told(request, act, lambda _: _sentence(made[0]))


@require_POST
@page
def unshare(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    user = user_of(request)
    account = _number(request.POST.get("user", ""))
    leaving = account in user.as_actor().accounts

    def act() -> Instance:
        instance = find(instance_id, actor=user.as_actor(), action=Action.SEE)
        unsharing.unshare(instance_id, acting_user=user, user=account)
        return instance

    done = "You left it." if leaving else "They are out."
    return told(request, act, done, after_page="/" if leaving else "")


@require_POST
@page
def ask(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    typed = request.POST

    def act() -> Instance:
        made = asking.ask(
            instance_id,
            acting_user=user_of(request),
            reason=typed.get("reason", ""),
            wish=typed.get("wish", Mode.WATCH),
        )
        return made.instance

    return told(request, act, lambda instance: f"{instance.owner.name} is asked.")


@require_POST
@page
def withdraw(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    which = _number(request.POST.get("request", ""))
    return told(
        request, lambda: asking.withdraw(which, acting_user=user_of(request)).instance, "You do not ask any longer."
    )


@require_POST
@page
def answer(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    typed = request.POST
    made: list[AccessRequest] = []

    def act() -> Instance:
        row = answering.answer(
            _number(typed.get("request", "")),
            acting_user=user_of(request),
            answer=typed.get("answer", ""),
            minutes=_number(typed.get("minutes", "")) or answering.MINUTES[0],
        )
        made.append(row)
        return row.instance

    return told(request, act, lambda _: _ANSWERED[Answer(made[0].answer)].format(made[0].user.name))


@require_POST
@page
def alone(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    wanted = request.POST.get("alone", "")
    return told(
        request,
        lambda: presence.set_alone(instance_id, acting_user=user_of(request), alone=wanted),
        lambda instance: f"Without you they may {Alone(instance.alone).label}.",
    )


@require_POST
@page
def offer(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    which = _number(request.POST.get("user", "")) or None
    done = "They are told, and decide." if which else "It is not offered to anybody any longer."
    return told(request, lambda: transfer.offer(instance_id, acting_user=user_of(request), user=which), done)


@require_POST
@page
def take_over(request: HttpRequest, instance_id: UUID) -> HttpResponseBase:
    user = user_of(request)
    if request.POST.get("answer") != "yes":
        return told(request, lambda: transfer.decline(instance_id, acting_user=user), "You do not take it over.")
    return told(
        request, lambda: transfer.accept(instance_id, acting_user=user), "{} is yours now. Start it when you like."
    )


_ANSWERED = {
    Answer.WATCH: "{} may watch now.",
    Answer.CONTROL: "{} may watch and work in it now.",
    Answer.NO: "{} is told that you said no.",
}


def _sentence(member: Member) -> str:
    works = member.role == Member.Role.COLLABORATOR
    return f"{member.user.name} may {'watch and work in it' if works else 'watch it'} now."


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0
