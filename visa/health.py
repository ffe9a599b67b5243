"""Whether this process lives, and whether it should get requests."""

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from instances.services import observation


def live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """503 while the database does not answer. Clouds that are not watched are named but do not fail pages: whoever
    looks at them should read that a cloud is silent, not find the portal gone. `/health/clouds` fails, and workers do.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        stale = observation.stale(timezone.now())
    except Error:
        return JsonResponse({"status": "the database does not answer"}, status=503)
    return JsonResponse({"status": "ok", "clouds not observed lately": stale})


def clouds(request: HttpRequest) -> JsonResponse:
    """503 while the last good observation of a cloud is stale: nobody watches it, or it does not answer."""
    try:
        stale = observation.stale(timezone.now())
    except Error:
        return JsonResponse({"status": "the database does not answer"}, status=503)
    if stale:
        return JsonResponse({"status": "stale", "clouds not observed lately": stale}, status=503)
    return JsonResponse({"status": "ok"})
