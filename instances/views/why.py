"""Why can I see this? The same reasons for a yes and for a no, of whatever the asker may know of."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from auth.models import User
from instances.errors import Denied
from instances.policy import may_explain_others
from instances.services.explain import Explanation, explain_experiment, explain_instance

from .common import page, user_of


@require_safe
@page
def experiment(request: HttpRequest, experiment_id: int) -> HttpResponse:
    person, wrong = asked_for(request)
    explanation = explain_experiment(experiment_id, acting_user=user_of(request), person=person)
    back = reverse("instances:experiment", args=[experiment_id])
    return _shown(request, explanation, person, wrong, back=back, back_to="The experiment", section="experiments")


@require_safe
@page
def instance(request: HttpRequest, instance_id: UUID) -> HttpResponse:
    person, wrong = asked_for(request)
    explanation = explain_instance(instance_id, acting_user=user_of(request), person=person)
    back = reverse("instances:instance", args=[instance_id])
    return _shown(request, explanation, person, wrong, back=back, back_to="The instance", section="home")


def asked_for(request: HttpRequest) -> tuple[User | None, str]:
    """`?person=`: another person, or the sentence for the field. Who may not ask for others learns of nobody."""
    username = request.GET.get("person", "").strip()[:64]
    user = user_of(request)
    if not username or username == user.username:
        return None, ""
    if not (decision := may_explain_others(user.as_actor())):
        raise Denied(decision)
    found = User.objects.filter(username=username).first()
    return found, "" if found else f"There is nobody with the username {username}."


def _shown(
    request: HttpRequest, explanation: Explanation, person: User | None, wrong: str, **context: Any
) -> HttpResponse:
    context |= {
        "explanation": explanation,
        "person": person,
        "wrong": wrong,
        "username": request.GET.get("person", ""),
        "may_ask_for_others": bool(may_explain_others(user_of(request).as_actor())),
    }
    return render(request, "instances/why.html", context, status=404 if wrong else 200)
