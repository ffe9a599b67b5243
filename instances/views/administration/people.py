"""People: finding them, everything about one, blocking and unblocking."""

from urllib.parse import urlsplit

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Prefetch, Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from auth import agents, audit
from auth.models import ApiToken, Login, Participation, RoleGrant, User
from instances.errors import Conflict, Denied, Invalid
from instances.services.people import block_person, unblock_person
from instances.services.visibility import visible_to
from instances.views.common import refused, user_of
from instances.views.home import kept

from .common import ROWS, administrators, asked, shown, staff, text
from .roles import given_by

LATEST = 25


@staff
@require_safe
def people(request: HttpRequest) -> HttpResponse:
    query = asked(request, "search", "state")
    found = User.objects.select_related("linked_to").order_by("name", "pk")
    for word in query["search"].split():
        found = found.filter(
            Q(name__icontains=word) | Q(username__icontains=word) | Q(email__icontains=word) | Q(sub__icontains=word)
        )
    if query["state"] == "blocked":
        found = found.filter(is_active=False)
    elif query["state"] == "staff":
        found = found.filter(role_grants__in=RoleGrant.objects.in_force(timezone.now())).distinct()
    in_force = RoleGrant.objects.in_force(timezone.now()).select_related("instrument", "experiment__proposal")
    found = found.prefetch_related(Prefetch("role_grants", queryset=in_force, to_attr="roles"))
    page = Paginator(found, ROWS).get_page(request.GET.get("page"))
    return shown(request, "people.html", "people", found=page, query=query, keep=kept(query))


@staff
@require_safe
def person(request: HttpRequest, person_id: int) -> HttpResponse:
    """Everything about one person. Looking at it is an access, and leaves a row."""
    row = get_object_or_404(User, pk=person_id)
    if row.linked_to_id:
        return redirect("instances:administration_person", row.linked_to_id)
    now, actor = timezone.now(), user_of(request).as_actor()
    accounts = row.as_actor().accounts
    roles = RoleGrant.objects.filter(user__in=accounts).select_related("instrument", "experiment__proposal", "user")
    parts = Participation.objects.filter(user__in=accounts).select_related(
        "experiment__proposal", "experiment__instrument", "user"
    )
    instances = visible_to(actor).filter(owner__in=accounts).select_related("environment", "flavour")
    open_now = Login.objects.filter(user__in=accounts, session__expire_date__gt=now).order_by("-begun")
    answer = shown(
        request,
        "person.html",
        "people",
        person=row,
        identities=[(user, urlsplit(user.iss).netloc) for user in User.objects.filter(pk__in=accounts).order_by("pk")],
        roles=[(grant, given_by(grant)) for grant in roles.order_by("-since", "-pk")[:100]],
        parts=parts.order_by("-experiment__start", "pk")[:LATEST],
        parts_count=parts.count(),
        instances=instances.defer("thumbnail", "notes").order_by("-created")[:LATEST],
        instances_count=instances.count(),
        sessions=[(login, agents.describe(login.agent), urlsplit(login.iss).netloc) for login in open_now[:LATEST]],
        tokens=ApiToken.objects.live(now).filter(user__in=accounts).order_by("-created"),
        now=now,
        itself=row.pk in actor.accounts,
    )
    with transaction.atomic():
        audit.record("person.look", f"user:{row.pk}", actor=actor)
    return answer


@administrators(reason="to block somebody")
@require_http_methods(["GET", "HEAD", "POST"])
def block(request: HttpRequest, person_id: int) -> HttpResponseBase:
    return _asked_and_done(request, person_id, blocking=True)


@administrators(reason="to unblock somebody")
@require_http_methods(["GET", "HEAD", "POST"])
def unblock(request: HttpRequest, person_id: int) -> HttpResponseBase:
    return _asked_and_done(request, person_id, blocking=False)


def _asked_and_done(request: HttpRequest, person_id: int, *, blocking: bool) -> HttpResponseBase:
    row = get_object_or_404(User.objects.filter(linked_to=None), pk=person_id)
    problems: dict[str, str] = {}
    status = 200
    because = text(request.POST, "because")
    if request.method == "POST":
        act = block_person if blocking else unblock_person
        try:
            act(acting_user=user_of(request), person=row, because=because)
        except Invalid as error:
            problems, status = error.fields, 422
        except Conflict as error:
            problems, status = {"": str(error)}, 409
        except Denied as error:
            return refused(request, error.decision.because)
        else:
            messages.success(request, f"{row.name} is {'blocked' if blocking else 'no longer blocked'}.")
            return redirect("instances:administration_person", row.pk)
    return shown(
        request, "block.html", "people", status, person=row, blocking=blocking, problems=problems, because=because
    )
