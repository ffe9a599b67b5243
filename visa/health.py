"""Whether this process lives, and whether it should get requests."""

from datetime import timedelta

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from instances.models import Cloud

STALE = timedelta(seconds=30)


def live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def ready(request: HttpRequest) -> JsonResponse:
    """503 while the database does not answer. Clouds that are not watched are named but do not fail pages."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        limit = timezone.now() - STALE
        clouds = Cloud.objects.filter(enabled=True).values_list("name", "observed_at")
        stale = [name for name, at in clouds if at is None or at < limit]
    except Error:
        return JsonResponse({"status": "the database does not answer"}, status=503)
    return JsonResponse({"status": "ok", "clouds not observed lately": stale})
