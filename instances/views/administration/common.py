"""What every page of the administration does: be there for staff only, and change something for administrators only."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render

from auth.oidc.step_up import fresh_login
from instances.policy import may_administer, may_audit
from instances.views.common import page, refused, user_of

P = ParamSpec("P")
ROWS = 50
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def staff(view: View[P]) -> Callable[..., HttpResponseBase]:
    """A page for administrators, IT support and auditors. For everybody else it does not exist.

    Whoever may only look is refused every other method, whatever the view would make of it.
    """

    @wraps(view)
    def answered(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        actor = user_of(request).as_actor()
        if not may_audit(actor):
            raise Http404
        if request.method not in ("GET", "HEAD") and not (decision := may_administer(actor)):
            return refused(request, decision.because)
        return view(request, *args, **kwargs)

    return page(answered)


def administrators(*, reason: str) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    """A page that changes something: 404 for whoever may not know of it, 403 with the reason for other staff, and a
    login of the last minutes from whoever may.
    """

    def decorated(view: View[P]) -> Callable[..., HttpResponseBase]:
        confirmed = fresh_login(reason=reason)(view)

        @wraps(view)
        def answered(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            decision = may_administer(user_of(request).as_actor())
            if not decision:
                return refused(request, decision.because)
            return confirmed(request, *args, **kwargs)

        return staff(answered)

    return decorated


def shown(request: HttpRequest, template: str, section: str, status: int = 200, **context: Any) -> HttpResponse:
    """`may_change`: whether to offer what changes something."""
    context["may_change"] = bool(may_administer(user_of(request).as_actor()))
    context["rail"] = section
    return render(request, f"administration/{template}", context | {"section": "administration"}, status=status)


def asked(request: HttpRequest, *names: str) -> dict[str, str]:
    """The filters of the URL, each at most 100 characters."""
    return {name: text(request.GET, name).strip()[:100] for name in names}


def text(fields: QueryDict, name: str) -> str:
    """What was typed, without the one character that PostgreSQL cannot hold."""
    return fields.get(name, "").replace("\0", "")
