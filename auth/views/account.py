"""The page about oneself: identities, roles, Unix names, open sessions; and linking and unlinking identities."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from auth import agents, audit, sessions
from auth.identities import shortened
from auth.models import Login, Proposal, RoleGrant, User
from auth.oidc import link as linking
from auth.oidc import registrations, step_up
from auth.oidc.client import PATIENCE, Errand
from auth.oidc.errors import SignInFailed
from auth.oidc.registrations import Registration

from . import flow

GROUPS_SHOWN = 100
fresh_enough_to_link = step_up.fresh_login(reason="to link another identity", acr=(), minutes=5)


@dataclass(frozen=True, slots=True)
class Shown:
    """An identity as the page shows it."""

    row: User
    title: str
    host: str
    short: str
    is_main: bool
    is_used: bool


@never_cache
@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    rows = identities_of(person)
    used = _used(request)
    accounts = [row.pk for row in rows]
    proposals = Proposal.objects.filter(experiments__participations__user__in=accounts).distinct().order_by("code")
    logins = Login.objects.filter(user=person, session__expire_date__gt=timezone.now()).select_related("identity")
    grants = RoleGrant.objects.in_force(timezone.now()).filter(user__in=accounts)
    context = {
        "section": "account",
        "person": person,
        "identities": [_shown(row, person, used) for row in rows],
        "grants": [
            (grant, _source(grant, rows))
            for grant in grants.select_related("instrument", "experiment").order_by("role")
        ],
        "proposals": proposals[:GROUPS_SHOWN],
        "more_proposals": max(0, proposals.count() - GROUPS_SHOWN),
        "logins": [
            (
                login,
                agents.describe(login.agent),
                _title(login.identity.iss),
                login.session_id == request.session.session_key,
            )
            for login in logins.order_by("-begun")
        ],
    }
    return render(request, "auth/account.html", context)


@never_cache
@require_POST
@login_required
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End every session of this person but the one that asks."""
    person = person_of(request)
    with transaction.atomic():
        others = Login.objects.select_for_update(of=("self",)).filter(user=person)
        ended = sessions.end(
            list(others.exclude(session_id=request.session.session_key)), reason="signed out from another browser"
        )
        if ended:
            audit.record(
                "session.end",
                f"user:{person.pk}",
                actor=person.as_actor(),
                because="ended from another session of theirs",
                detail={"sessions": ended},
            )
    word = "No other session was open." if not ended else f"{ended} other session{'s' * (ended > 1)} ended."
    messages.success(request, word)
    return redirect("auth:account")


@never_cache
@require_safe
@login_required
def link(request: HttpRequest) -> HttpResponse:
    """What linking means, and with whom one can log in to do it: first with whom one has not."""
    mine = {row.iss for row in identities_of(person_of(request))}
    providers = sorted(registrations.configured(), key=lambda known: known.issuer in mine)
    return render(request, "auth/link.html", {"section": "account", "providers": providers})


@never_cache
@require_safe
@fresh_enough_to_link
def link_start(request: HttpRequest) -> HttpResponse:
    known = registrations.by_key(request.GET.get("provider", ""))
    if known is None:
        raise Http404
    errand = Errand("link", reverse("auth:link_confirm"), request.user.pk, insist=True)
    try:
        answer = redirect(flow.ask(request, errand, issuer=known.issuer))
    except SignInFailed as error:
        return flow.refused(request, error, purpose="link")
    answer.set_cookie(
        flow.LINKING, "1", max_age=PATIENCE, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
    )
    return answer


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def link_confirm(request: HttpRequest) -> HttpResponseBase:
    """Both identities side by side; POST links them, or forgets the second one."""
    person = person_of(request)
    try:
        identity = linking.proposed(request)
        if request.method == "POST":
            del request.session[linking.KEPT]
            if "link" in request.POST:
                linking.link(acting_user=person, identity=identity)
                messages.success(request, f"{identity.name or 'The identity'} at {_title(identity.iss)} is linked.")
            answer = redirect("auth:account")
            answer.delete_cookie(flow.LINKING)
            return answer
    except SignInFailed as error:
        return flow.refused(request, error, record=request.method == "POST", purpose="link")
    known = User.objects.filter(iss=identity.iss, sub=identity.sub).first()
    other = User(iss=identity.iss, sub=identity.sub, name=identity.name or identity.sub, email=identity.email)
    other.affiliation = identity.affiliation
    context = {
        "section": "account",
        "person": person,
        "pair": [_shown(person, person, person.pk), _shown(other, person, None)],
        "known": known,
    }
    return render(request, "auth/link-confirm.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def unlink(request: HttpRequest, identity_id: int) -> HttpResponse:
    person = person_of(request)
    row = User.objects.filter(pk=identity_id, linked_to=person).first()
    if row is None:
        raise Http404
    if request.method != "POST":
        return render(
            request, "auth/unlink.html", {"section": "account", "identity": _shown(row, person, _used(request))}
        )
    ends_this = _used(request) == row.pk
    try:
        linking.unlink(acting_user=person, identity_id=row.pk)
    except User.DoesNotExist as error:
        raise Http404 from error
    if ends_this:
        request.session.flush()
        return redirect("auth:sign_in")
    messages.success(request, f"The identity at {_title(row.iss)} is an account of its own again.")
    return redirect("auth:account")


def person_of(request: HttpRequest) -> User:
    user = request.user
    assert isinstance(user, User)
    return user.person


def identities_of(person: User) -> list[User]:
    """The row of the account itself, then those that are linked to it, oldest first."""
    rows: QuerySet[User] = User.objects.filter(Q(pk=person.pk) | Q(linked_to=person))
    return sorted(rows, key=lambda row: (row.pk != person.pk, row.linked_at or row.joined))


def _used(request: HttpRequest) -> int | None:
    """The identity that this session began with."""
    login = Login.objects.filter(session_id=request.session.session_key).first()
    return login.identity_id if login else None


def _shown(row: User, person: User, used: int | None) -> Shown:
    short = shortened(row.sub)
    is_main = row.pk is not None and row.pk == person.pk
    return Shown(row, _title(row.iss), urlsplit(row.iss).netloc, short, is_main, row.pk is not None and row.pk == used)


def _title(iss: str) -> str:
    known: Registration | None = registrations.by_issuer(iss)
    return known.title if known and known.title else urlsplit(iss).netloc


def _source(grant: RoleGrant, rows: list[User]) -> str:
    """Where a role comes from, in words."""
    kind, _, name = grant.source.partition(":")
    if kind == "claim":
        iss = next((row.iss for row in rows if row.pk == grant.user_id), "")
        return f"From your groups at {_title(iss) if iss else name}"
    if kind == "catalogue":
        return f"From the facility’s catalogue ({name})"
    if kind == "person":
        giver = User.objects.filter(pk=int(name)).first() if name.isdecimal() else None
        return f"Given by {giver.name}" if giver else "Given by an administrator"
    return f"From {grant.source}"
