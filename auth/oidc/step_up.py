"""Actions that demand a fresh login: who sits here is who signed in, and proved it a moment ago.

A session remembers when its person last logged in afresh, and how (`acr`). It counts only together with a cookie that
was set at that moment. The session's key stays the same, so that live desktops, which are bound to it, stay open; the
usual reason for a new key, that somebody who had got hold of the old one would profit from the confirmation, is met by
the cookie: they do not have it.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from auth.digests import digest_of
from auth.models import ApiToken

P = ParamSpec("P")
KEPT = "confirmed"
COOKIE = "visa_confirmed"
SALT = "auth.oidc.step_up"
SHOWN_FOR = 3600
"""Seconds for which a page that explains a demand can be opened."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What has to be confirmed, in words for the person, and with which kinds of login; none: any fresh one."""

    reason: str
    acr: tuple[str, ...] = ()
    minutes: int = 10

    @classmethod
    def of(cls, reason: str, acr: Sequence[str] | None = None, minutes: int | None = None) -> "Demand":
        return cls(
            reason,
            tuple(settings.STEP_UP["acr"] if acr is None else acr),
            settings.STEP_UP["minutes"] if minutes is None else minutes,
        )

    def signed(self) -> str:
        """For an address: nobody else can put words on our page, or ask for less."""
        return signing.dumps([self.reason, self.acr, self.minutes], salt=SALT, compress=True)

    @classmethod
    def from_signed(cls, value: str) -> "Demand":
        """The default demand when `value` is not ours, or too old."""
        try:
            reason, acr, minutes = signing.loads(value, salt=SALT, max_age=SHOWN_FOR)
        except signing.BadSignature:
            return cls.of("")
        return cls(reason, tuple(acr), minutes)


class StepUpNeeded(PermissionDenied):
    """A fresh login is missing. `str()` is for the person; `reason` and `confirm`, an address, for programs."""

    def __init__(self, sentence: str, *, reason: str, confirm: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.confirm = confirm


def is_fresh(request: HttpRequest, *, acr: Sequence[str] | None = None, minutes: int | None = None) -> bool:
    """Whether the person logged in afresh, of one of the kinds `acr`, at most `minutes` ago (default: the settings).

    Never true for an API token: nobody sits behind it.
    """
    if isinstance(getattr(request, "auth", None), ApiToken) or not request.user.is_authenticated:
        return False
    kept = request.session.get(KEPT)
    demand = Demand.of("", acr, minutes)
    if not kept or (demand.acr and kept["acr"] not in demand.acr):
        return False
    ours = hmac.compare_digest(digest_of(request.COOKIES.get(COOKIE, "")), kept["digest"])
    return ours and 0 <= time.time() - kept["at"] <= demand.minutes * 60


def fresh_login(
    *, reason: str, acr: Sequence[str] | None = None, minutes: int | None = None
) -> Callable[[Callable[Concatenate[HttpRequest, P], HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """A view for people who confirmed a moment ago who they are.

    Others are led there: a page by a redirect, a form or a script by an answer 403 that has the link. `reason`
    completes "Confirm that it is you …": "to give somebody a role".
    """

    def decorate(view: Callable[Concatenate[HttpRequest, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if is_fresh(request, acr=acr, minutes=minutes):
                return view(request, *args, **kwargs)
            return demanded(request, Demand.of(reason, acr, minutes))

        return checked

    return decorate


def require_fresh(
    request: HttpRequest, *, reason: str, acr: Sequence[str] | None = None, minutes: int | None = None
) -> None:
    """The same for the API: StepUpNeeded, which becomes problem JSON, unless the login is fresh."""
    if is_fresh(request, acr=acr, minutes=minutes):
        return
    if isinstance(getattr(request, "auth", None), ApiToken):
        raise StepUpNeeded(
            f"An API token cannot be used {reason}: that needs a person who has just logged in.",
            reason="token_cannot_confirm",
        )
    address = confirm_url(Demand.of(reason, acr, minutes), next_page="/")
    raise StepUpNeeded(_sentence(reason), reason="fresh_login_needed", confirm=address)


def demanded(request: HttpRequest, demand: Demand) -> HttpResponseBase:
    """The way to the page where one confirms, in the form that the request can use."""
    if request.method in ("GET", "HEAD") and "HX-Request" not in request.headers:
        return redirect(confirm_url(demand, next_page=request.get_full_path()))
    address = confirm_url(demand, next_page=_page_of(request))
    sentence = _sentence(demand.reason)
    if "HX-Request" in request.headers:
        answer: HttpResponseBase = render(
            request, "auth/confirm-first.html", {"sentence": sentence, "confirm": address}, status=403
        )
        answer.headers["HX-Redirect"] = address
        return answer
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": sentence}
        return JsonResponse(
            problem | {"reason": "fresh_login_needed", "confirm": address},
            status=403,
            content_type="application/problem+json",
        )
    return render(request, "auth/confirm-first.html", {"sentence": sentence, "confirm": address}, status=403)


def confirm_url(demand: Demand, *, next_page: str) -> str:
    return f"{reverse('auth:confirm')}?{urlencode({'next': next_page, 'why': demand.signed()})}"


def remember(request: HttpRequest, *, at: float, acr: str) -> None:
    """A fresh login took place. `attach` has to be called with the response."""
    secret = secrets.token_urlsafe(32)
    request.session[KEPT] = {"at": at, "acr": acr, "digest": digest_of(secret)}
    request.META[COOKIE] = secret


def attach(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Give the browser the cookie of a confirmation that was remembered during this request."""
    if secret := request.META.pop(COOKIE, ""):
        response.set_cookie(
            COOKIE,
            secret,
            max_age=settings.SESSION_COOKIE_AGE,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    return response


def _sentence(reason: str) -> str:
    return f"Confirm that it is you {reason or 'first'}: log in once more, then try again."


def _page_of(request: HttpRequest) -> str:
    """The page that a form or a script was on; the home when nobody says."""
    parts = urlsplit(request.headers.get("HX-Current-URL") or request.headers.get("Referer") or "")
    if parts.netloc != request.get_host() or not parts.path.startswith("/"):
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
