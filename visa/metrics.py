"""/metrics of a web process, for whoever has the token."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from instances.services.observation import Collector


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """404 for everybody while no token is set (VISA_METRICS_TOKEN), and for whoever does not bear it."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not constant_time_compare(given, settings.METRICS_TOKEN):
        return HttpResponse("There is nothing here.", content_type="text/plain", status=404)
    registry = CollectorRegistry()
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
