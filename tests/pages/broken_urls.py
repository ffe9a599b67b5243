"""The portal's addresses, the error pages, and one address that breaks."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path

from visa.urls import urlpatterns as portal


def breaks(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("a secret that no page shows")


def refuses(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("Because it is Sunday.")


urlpatterns = [*portal, path("breaks/", breaks), path("refuses/", refuses)]
handler400 = "instances.views.errors.bad_request"
handler403 = "instances.views.errors.permission_denied"
handler404 = "instances.views.errors.not_found"
handler500 = "instances.views.errors.server_error"
