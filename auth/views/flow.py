"""To a provider and back: what signing in, confirming and linking have in common."""

import logging
import secrets
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from auth.models import User
from auth.oidc import client
from auth.oidc import sign_in as service
from auth.oidc.client import Errand, Pending
from auth.oidc.errors import ConfirmationFailed, Interrupted, LinkRefused, SignInFailed, Stale, Untrusted

log = logging.getLogger(__name__)
HOME = "/"
LINKING = "visa_linking"
"""A cookie that outlives the session, to explain how it ended. It holds nothing and proves nothing."""
PENDING = "sign_in"
AT_ONCE = 5
"""Errands that one browser may have under way, in as many tabs."""
STILL = "You are still signed in as before, and nothing has changed."
TITLES = {"confirm": "This was not confirmed", "link": "The identity was not linked"}


def ask(request: HttpRequest, errand: Errand, *, issuer: str = "") -> str:
    """The provider's page to go to; the question is remembered in this browser's session."""
    url, state, pending = client.of(issuer).begin(errand)
    under_way = dict(list(request.session.get(PENDING, {}).items())[1 - AT_ONCE :])
    request.session[PENDING] = under_way | {state: pending.as_dict()}
    if not request.user.is_authenticated:
        request.session.set_expiry(client.PATIENCE)
    return url


def ask_again(request: HttpRequest, pending: Pending) -> str:
    return ask(request, replace(pending.errand, insist=True), issuer=pending.issuer)


def expected(request: HttpRequest) -> tuple[dict[str, str], Pending]:
    """The answer and the question it belongs to, which is used up by this."""
    if any(len(values) != 1 for _, values in request.GET.lists()):
        raise Untrusted("the answer says something twice")
    answer = {name: request.GET[name] for name in request.GET}
    under_way: dict[str, dict[str, Any]] = request.session.get(PENDING, {})
    asked = under_way.pop(answer.get("state", ""), None)
    if asked is None and LINKING in request.COOKIES and not request.user.is_authenticated:
        raise Interrupted("the session ended while a second identity was being proven")
    if asked is None:
        raise Stale("no sign-in with this state is under way in this browser")
    request.session[PENDING] = under_way
    return answer, Pending.from_dict(asked)


def refused(
    request: HttpRequest, error: SignInFailed, *, record: bool = False, purpose: str = "sign_in", back: str = ""
) -> HttpResponse:
    """The page about it. Whoever is signed in stays so, and is told that."""
    reference = secrets.token_hex(4).upper()
    log.warning("%s refused, reference %s: %s: %s", purpose, reference, type(error).__name__, error)
    by = request.user if isinstance(request.user, User) else None
    if record:
        service.record_refusal(error, reference=reference, purpose=purpose, by=by)
    within = by is not None and purpose != "sign_in"
    borrowed = within and not isinstance(error, (ConfirmationFailed, LinkRefused))  # words meant for a sign-in
    context = {
        "problem": error,
        "title": TITLES[purpose] if borrowed else error.title,
        "means": STILL if borrowed else error.means,
        "back": (back or reverse("auth:account")) if within else "",
        "reference": reference,
    }
    return render(request, "auth/refused.html", context, status=error.status)


def safe_next(request: HttpRequest) -> str:
    """Where to go afterwards: a page of this portal, or its home."""
    page = request.GET.get("next", "")
    inside = url_has_allowed_host_and_scheme(page, allowed_hosts=None, require_https=settings.SECURE)
    gates = (reverse("auth:sign_in"), reverse("auth:sign_out"), reverse("auth:confirm"))
    return page if inside and page.startswith("/") and not page.startswith(gates) and len(page) <= 2000 else HOME
