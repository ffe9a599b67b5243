"""The pages of signing in and out."""

import logging

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from auth.oidc import client, confirm, link, logout, registrations, requirements, step_up
from auth.oidc import sign_in as service
from auth.oidc.client import Errand, Pending
from auth.oidc.errors import SignInFailed, Unreachable, Untrusted, WeakLogin

from . import flow

log = logging.getLogger(__name__)


@never_cache
@require_safe
def sign_in(request: HttpRequest) -> HttpResponse:
    next_page = flow.safe_next(request)
    if request.user.is_authenticated:
        return redirect(next_page)
    others = [known for known in registrations.configured() if known.key and known.sign_in]
    return render(request, "auth/sign-in.html", {"next": "" if next_page == flow.HOME else next_page, "others": others})


@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider, with a question that only this browser can have answered."""
    known = registrations.by_key(request.GET.get("provider", ""))
    if known is not None and not known.sign_in:
        raise Http404
    errand = Errand(next=flow.safe_next(request), acr=requirements.configured().acr)
    try:
        return redirect(flow.ask(request, errand, issuer=known.issuer if known else ""))
    except SignInFailed as error:
        return flow.refused(request, error)


@never_cache
@require_safe
def callback(request: HttpRequest, provider: str = "") -> HttpResponseBase:
    purpose = "sign_in"
    try:
        answer, pending = flow.expected(request)
        purpose = pending.errand.purpose
        asked = client.of(pending.issuer)
        if asked.registration.key != provider:
            raise Untrusted("the answer came to another provider's address")
        return step_up.attach(request, _use(request, asked, answer, pending))
    except SignInFailed as error:
        back = pending.errand.next if purpose == "confirm" else ""
        return flow.refused(request, error, record=True, purpose=purpose, back=back)


def _use(request: HttpRequest, asked: client.Client, answer: dict[str, str], pending: Pending) -> HttpResponse:
    identity = asked.finish(answer, pending)
    errand = pending.errand
    if errand.purpose == "confirm":
        confirm.confirm(request, identity, pending)
    elif errand.purpose == "link":
        link.propose(request, identity, pending)
    else:
        try:
            service.sign_in(request, identity, insisted=errand.insist)
        except WeakLogin:
            if errand.insist:
                raise
            return redirect(flow.ask_again(request, pending))
        request.session.pop(flow.PENDING, None)
    return redirect(errand.next)


@never_cache
@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """Out of the portal first; then of the provider, where it offers that."""
    back = reverse("auth:sign_in")
    if not request.user.is_authenticated:
        return redirect(back)
    issuer = service.sign_out(request)
    try:
        url = client.of(issuer).sign_out_url(back_to=settings.PORTAL_URL + back)
    except Unreachable:
        url = ""
    return redirect(url or back)


@csrf_exempt
@require_POST
def back_channel(request: HttpRequest) -> HttpResponse:
    """A provider itself says that logins ended; its signature stands in for everything a browser would bring."""
    tokens = request.POST.getlist("logout_token")
    try:
        if len(tokens) != 1:
            raise logout.LogoutRefused("request", "There must be one logout_token.")
        ended = logout.end(logout.read(tokens[0], client.of(logout.sender(tokens[0]))))
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
