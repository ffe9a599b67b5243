"""The pages where people make and revoke their API tokens."""

from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from auth import scopes
from auth.models import ApiToken, User
from auth.scopes import Scope
from auth.services.tokens import AT_ONCE, NAME, TokenRefused, create_token, revoke_token, usual_days

OVER_FOR = timedelta(days=30)
"""How long tokens that are over stay listed."""


@never_cache
@require_safe
@login_required
def tokens(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    mine = ApiToken.objects.filter(user__in=_user(request).as_actor().accounts).order_by("-created", "-pk")
    live = mine.live(now)
    lately = Q(revoked__gt=now - OVER_FOR) | Q(revoked=None, expires__gt=now - OVER_FOR)
    over = mine.exclude(pk__in=live).filter(lately)
    context = {"tokens": live, "over": over[:AT_ONCE], "at_once": AT_ONCE, "full": live.count() >= AT_ONCE}
    return render(request, "auth/tokens.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """The form; the answer to it is the only page that ever shows the secret, and no browser keeps it."""
    today = timezone.now().date()
    form = {"name": "", "scopes": [], "expires": f"{today + timedelta(days=usual_days()):%Y-%m-%d}"}
    problems: dict[str, str] = {}
    if request.method == "POST":
        wanted = request.POST.getlist("scopes")
        form = {
            "name": request.POST.get("name", "").replace("\0", ""),
            "scopes": wanted,
            "expires": request.POST.get("expires", ""),
        }
        try:
            token, secret = create_token(
                acting_user=_user(request),
                name=str(form["name"]),
                scopes=scopes.known(wanted),
                expires=_expiry(str(form["expires"])),
            )
        except TokenRefused as error:
            problems = error.fields
        else:
            return render(request, "auth/tokens-made.html", {"token": token, "secret": secret})
    context = {
        "form": form,
        "problems": problems,
        "everyday": scopes.EVERYDAY,
        "for_staff": [scope for scope in Scope if scope.for_staff],
        "earliest": f"{today + timedelta(days=1):%Y-%m-%d}",
        "latest": f"{today + timedelta(days=settings.TOKEN_DAYS_MAX):%Y-%m-%d}",
        "longest": NAME,
        "days": settings.TOKEN_DAYS_MAX,
    }
    return render(request, "auth/tokens-new.html", context, status=422 if problems else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    user = _user(request)
    token = get_object_or_404(ApiToken, pk=token_id, user__in=user.as_actor().accounts)
    if request.method == "POST":
        revoke_token(token.pk, acting_user=user)
        messages.success(request, f"“{token.name}” is revoked. Nothing can be done with it any more.")
        return redirect("auth:tokens")
    return render(request, "auth/tokens-revoke.html", {"token": token})


def _expiry(day: str) -> datetime:
    """The beginning of that day in UTC; today's for what is no day, which the service refuses with the reason."""
    try:
        return datetime.combine(date.fromisoformat(day), time(), UTC)
    except ValueError:
        return timezone.now()


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
