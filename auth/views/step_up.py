"""Where one confirms that it is still oneself who sits there."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from auth.oidc import registrations
from auth.oidc.claims import MFA
from auth.oidc.client import Errand
from auth.oidc.errors import SignInFailed
from auth.oidc.registrations import Registration
from auth.oidc.sign_in import KEPT_CLAIMS
from auth.oidc.step_up import Demand

from . import flow
from .account import identities_of, person_of


@never_cache
@require_safe
@login_required
def confirm(request: HttpRequest) -> HttpResponse:
    """Why a fresh login is asked for, and the way to it."""
    signed = request.GET.get("why", "")
    demand = Demand.from_signed(signed)
    context = {
        "reason": demand.reason,
        "minutes": demand.minutes,
        "second_factor": MFA in demand.acr,
        "next": flow.safe_next(request),
        "why": signed,
        "providers": _providers(request),
    }
    return render(request, "auth/confirm.html", context)


@never_cache
@require_safe
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider of one of the person's own identities, which is to ask them anew."""
    mine = {known.key: known for known in _providers(request)}
    key = request.GET.get("provider", next(iter(mine), ""))
    if mine and key not in mine:
        raise Http404
    demand = Demand.from_signed(request.GET.get("why", ""))
    page = flow.safe_next(request)
    errand = Errand("confirm", page, request.user.pk, demand.acr, insist=True)
    try:
        return redirect(flow.ask(request, errand, issuer=mine[key].issuer if mine else ""))
    except SignInFailed as error:
        return flow.refused(request, error, purpose="confirm", back=page)


def _providers(request: HttpRequest) -> list[Registration]:
    """Those of the person's identities, the one of this session first."""
    issuers = {row.iss for row in identities_of(person_of(request))}
    found = [known for known in registrations.configured() if known.issuer in issuers]
    used = request.session.get(KEPT_CLAIMS, {}).get("iss")
    return sorted(found, key=lambda known: known.issuer != used)
