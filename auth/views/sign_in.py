"""The pages of signing in and out."""

import logging
import secrets
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from auth.oidc import client, logout, requirements
from auth.oidc import sign_in as service
from auth.oidc.errors import SignInFailed, Stale, Unreachable, Untrusted, WeakLogin

log = logging.getLogger(__name__)
HOME = "/"
PENDING = "sign_in"
AT_ONCE = 5
"""Sign-ins that one browser may have under way, in as many tabs."""


@never_cache
@require_safe
def sign_in(request: HttpRequest) -> HttpResponse:
    next_page = safe_next(request)
    if request.user.is_authenticated:
        return redirect(next_page)
    return render(request, "auth/sign-in.html", {"next": "" if next_page == HOME else next_page})


@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider, with a question that only this browser can have answered."""
    try:
        return redirect(ask(request, safe_next(request)))
    except SignInFailed as error:
        return refused(request, error)


@never_cache
@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    try:
        answer, pending = expected(request)
        identity = client.configured().finish(answer, pending)
        try:
            service.sign_in(request, identity)
        except WeakLogin:
            if pending.insisted:
                raise
            return redirect(ask(request, pending.next, insist=True))
    except SignInFailed as error:
        return refused(request, error, record=True)
    request.session.pop(PENDING, None)
    return redirect(pending.next)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """Out of the portal first; then of the provider, where it offers that."""
    back = reverse("auth:sign_in")
    if not request.user.is_authenticated:
        return redirect(back)
    service.sign_out(request)
    url = client.configured().sign_out_url(back_to=settings.PORTAL_URL + back) if settings.OIDC["issuer"] else ""
    return redirect(url or back)


@csrf_exempt
@require_POST
def back_channel(request: HttpRequest) -> HttpResponse:
    """The provider itself says that logins ended; its signature stands in for everything a browser would bring."""
    tokens = request.POST.getlist("logout_token")
    try:
        if len(tokens) != 1:
            raise logout.LogoutRefused("request", "There must be one logout_token.")
        ended = logout.end(logout.read(tokens[0], client.configured()))
    except (logout.LogoutRefused, SignInFailed) as error:
        log.warning("back-channel logout refused: %s: %s", type(error).__name__, error)
        return not_logged_out(error)
    log.info("back-channel logout ended %d sessions", ended)
    return HttpResponse(headers={"Cache-Control": "no-store"})


def not_logged_out(error: logout.LogoutRefused | SignInFailed) -> HttpResponse:
    """RFC 9457 for people, `error` for providers, which expect OAuth's form."""
    if isinstance(error, logout.LogoutRefused):
        reason, detail = error.reason, str(error)
    elif isinstance(error, Unreachable):
        reason, detail = "unreachable", "The issuer's keys could not be fetched to check the token. Send it again."
    else:
        reason, detail = "signature", "The token is not signed by the issuer."
    problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail, "reason": reason}
    return JsonResponse(
        problem | {"error": "invalid_request", "error_description": detail},
        status=400,
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store"},
    )


def ask(request: HttpRequest, next_page: str, *, insist: bool = False) -> str:
    """The provider's page to go to; the question is remembered in this browser's session."""
    acr = requirements.configured().acr
    url, state, pending = client.configured().begin(next_page=next_page, acr=acr, insist=insist)
    under_way = dict(list(request.session.get(PENDING, {}).items())[1 - AT_ONCE :])
    request.session[PENDING] = under_way | {state: pending.as_dict()}
    if not request.user.is_authenticated:
        request.session.set_expiry(client.PATIENCE)
    return url


def expected(request: HttpRequest) -> tuple[dict[str, str], client.Pending]:
    """The answer and the question it belongs to, which is used up by this."""
    if any(len(values) != 1 for _, values in request.GET.lists()):
        raise Untrusted("the answer says something twice")
    answer = {name: request.GET[name] for name in request.GET}
    under_way: dict[str, dict[str, Any]] = request.session.get(PENDING, {})
    asked = under_way.pop(answer.get("state", ""), None)
    if asked is None:
        raise Stale("no sign-in with this state is under way in this browser")
    request.session[PENDING] = under_way
    return answer, client.Pending(**asked)


def refused(request: HttpRequest, error: SignInFailed, *, record: bool = False) -> HttpResponse:
    reference = secrets.token_hex(4).upper()
    log.warning("sign-in refused, reference %s: %s: %s", reference, type(error).__name__, error)
    if record:
        service.record_refusal(error, reference=reference)
    return render(request, "auth/refused.html", {"problem": error, "reference": reference}, status=error.status)


def safe_next(request: HttpRequest) -> str:
    """Where to go afterwards: a page of this portal, or its home."""
    page = request.GET.get("next", "")
    inside = url_has_allowed_host_and_scheme(page, allowed_hosts=None, require_https=settings.SECURE)
    looping = page.startswith((reverse("auth:sign_in"), reverse("auth:sign_out")))
    return page if inside and page.startswith("/") and not looping and len(page) <= 2000 else HOME
