"""The demo provider's endpoints. They exist only in its own process: the portal's URLs know none of them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from .core import DemoProvider, NotOurs, Refusal

STYLE = Path(__file__).with_name("style.css")


class SeeOther(HttpResponseRedirect):
    """A redirect after a POST, which the browser follows with a GET."""

    status_code = 303


_served: list[DemoProvider] = []


def serve(one: DemoProvider) -> None:
    """Called by the command, once: without it nothing here answers."""
    _served[:] = [one]


def provider() -> DemoProvider:
    return _served[0]


@require_safe
def discovery(request: HttpRequest) -> HttpResponse:
    return JsonResponse(provider().discovery())


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    return JsonResponse(provider().jwks())


@require_safe
def authorize(request: HttpRequest) -> HttpResponse:
    try:
        handle = provider().ask(request.GET.dict())
    except NotOurs as error:
        return page("notice.html", {"title": "Nothing to sign in to", "text": str(error)}, status=400)
    except Refusal as error:
        state = request.GET.get("state", "")
        return HttpResponseRedirect(provider().answer(state, error=error.code, error_description=str(error)))
    return page("people.html", {"people": provider().people, "handle": handle, "portal": portal()})


@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    try:
        address, factor = provider().decide(request.POST.get("request", ""), request.POST.get("sub"))
    except NotOurs as error:
        return out_of_date(error)
    return SeeOther(address) if address else page("factor.html", {"handle": factor, "portal": portal()})


@require_POST
def confirm(request: HttpRequest) -> HttpResponse:
    try:
        return SeeOther(provider().confirm(request.POST.get("request", ""), used="used" in request.POST))
    except NotOurs as error:
        return out_of_date(error)


def out_of_date(error: NotOurs) -> HttpResponse:
    return page("notice.html", {"title": "Out of date", "text": str(error), "portal": portal()}, status=400)


@require_POST
def token(request: HttpRequest) -> HttpResponse:
    return as_json(lambda: provider().redeem(request.POST.dict(), request.headers.get("Authorization", "")))


@require_http_methods(["GET", "POST"])
def userinfo(request: HttpRequest) -> HttpResponse:
    return as_json(lambda: provider().userinfo(request.headers.get("Authorization", "")))


@require_http_methods(["GET", "POST"])
def end_session(request: HttpRequest) -> HttpResponse:
    if back := provider().signed_out((request.GET if request.method == "GET" else request.POST).dict()):
        return SeeOther(back)
    text = "This provider remembers nobody, so there was nothing to end."
    return page("notice.html", {"title": "You are signed out", "text": text, "portal": portal()})


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    text = "It signs people in to a demonstration on this machine. Start there."
    return page("notice.html", {"title": "Demo identity provider", "text": text, "portal": portal()})


@require_safe
def style(request: HttpRequest) -> HttpResponse:
    return HttpResponse(STYLE.read_bytes(), content_type="text/css; charset=utf-8")


def page(template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(render_to_string(f"demo_provider/{template}", context), status=status)


def as_json(answer: Callable[[], dict[str, Any]]) -> HttpResponse:
    try:
        return JsonResponse(answer())
    except Refusal as error:
        response = JsonResponse({"error": error.code, "error_description": str(error)}, status=error.status)
        if error.status == 401:
            scheme = "Bearer" if error.code == "invalid_token" else "Basic"
            response["WWW-Authenticate"] = f'{scheme} realm="demo", error="{error.code}"'
        return response


def wrong(request: HttpRequest, exception: Exception | None = None, status: int = 404) -> HttpResponse:
    return page("notice.html", {"title": "There is nothing here", "text": "", "portal": portal()}, status=status)


handler404 = wrong
handler400 = partial(wrong, status=400)


def portal() -> str:
    parts = urlsplit(provider().registration.redirect_uri)
    return f"{parts.scheme}://{parts.netloc}"


class Headers:
    """No scripts, no frames, no caching; the only other place a form may lead to is the portal."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            request.get_host()
        except DisallowedHost:  # another site's name that was made to point here
            response: HttpResponseBase = wrong(request, status=400)
        else:
            response = self.get_response(request)
        response["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none';"
            f" form-action 'self' {portal()}"
        )
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Content-Type-Options"] = "nosniff"
        return response


urlpatterns = [
    path("", home),
    path(".well-known/openid-configuration", discovery),
    path("jwks", jwks),
    path("authorize", authorize),
    path("authorize/decide", decide, name="decide"),
    path("authorize/confirm", confirm, name="confirm"),
    path("token", csrf_exempt(token)),
    path("userinfo", csrf_exempt(userinfo)),
    path("end-session", end_session),
    path("style.css", style),
]
