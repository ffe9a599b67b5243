"""Pages for what went wrong, with a reference that the helpdesk finds in the log."""

import logging
import secrets
import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

log = logging.getLogger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400, "400.html")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403, "403.html", because=str(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404, "404.html")


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500, "500.html")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    log.warning("csrf: %s", reason)
    return _page(request, 403, "403_csrf.html")


def _page(request: HttpRequest, status: int, template: str, because: str = "") -> HttpResponse:
    """Error pages use `bare.html`, which asks the database nothing: it may be what is broken."""
    reference = secrets.token_hex(4)
    log.log(
        logging.ERROR if status >= 500 else logging.INFO,
        "reference %s: %s for %s %s",
        reference,
        status,
        request.method,
        request.path,
        exc_info=sys.exc_info()[1] if status >= 500 else None,
    )
    return render(request, template, {"reference": reference, "because": because}, status=status)
