"""Catalogues: every run, what it did, and what was wrong."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from auth.models import CatalogueRun
from instances.views.home import kept

from .common import ROWS, asked, shown, staff


@staff
@require_safe
def catalogues(request: HttpRequest) -> HttpResponse:
    query = asked(request, "name", "outcome")
    found = CatalogueRun.objects.order_by("-began", "-pk")
    if query["name"]:
        found = found.filter(name=query["name"])
    if query["outcome"] == "trouble":
        found = found.exclude(outcome__in=["applied", "unchanged", "running"])
    elif query["outcome"]:
        found = found.filter(outcome=query["outcome"])
    page = Paginator(found, ROWS).get_page(request.GET.get("page"))
    return shown(
        request,
        "catalogues.html",
        "catalogues",
        found=page,
        rows=[(run, run.ended - run.began if run.ended else None) for run in page],
        query=query,
        keep=kept(query),
        names=CatalogueRun.objects.order_by("name").values_list("name", flat=True).distinct(),
        outcomes=["applied", "unchanged", "running", "refused", "unavailable", "invalid", "failed"],
    )
