"""Every error of the API as RFC 9457 problem JSON: what happened, and for bad input a sentence per field."""

import logging
import uuid
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from auth.oidc.step_up import StepUpNeeded
from instances import errors

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. None lets an unforeseen error become a logged 500."""
    status, detail, extra = _read(error)
    if status is None:
        return None
    headers = {}
    if isinstance(error, exceptions.APIException):
        if challenge := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait))
    return Response(problem(status, detail, **extra), status=status, headers=headers, content_type=MEDIA_TYPE)


def problem(status: HTTPStatus | int, detail: str, **extra: Any) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **extra,
    }


def _read(error: Exception) -> tuple[HTTPStatus | None, str, dict[str, Any]]:
    match error:
        case errors.NotFound() | Http404():
            return HTTPStatus.NOT_FOUND, "There is nothing here that you may see.", {}
        case errors.Denied():
            return HTTPStatus.FORBIDDEN, str(error), {}
        case errors.Invalid():
            return HTTPStatus.UNPROCESSABLE_ENTITY, str(error), {"errors": error.fields}
        case errors.Conflict():
            return HTTPStatus.CONFLICT, str(error), {}
        case StepUpNeeded():
            link = {"confirm": error.confirm} if error.confirm else {}
            return HTTPStatus.FORBIDDEN, str(error), {"reason": error.reason} | link
        case PermissionDenied():
            return HTTPStatus.FORBIDDEN, str(error) or "You may not do this.", {}
        case exceptions.ValidationError():
            fields = {name: _sentence(said) for name, said in _fields(error.detail).items()}
            return HTTPStatus.BAD_REQUEST, " ".join(fields.values()), {"errors": fields}
        case exceptions.APIException():
            return HTTPStatus(error.status_code), str(error.detail), dict(getattr(error, "extra", {}))
    return None, "", {}


def _fields(detail: Any) -> dict[str, Any]:
    return detail if isinstance(detail, dict) else {"": detail}


def _sentence(said: Any) -> str:
    return " ".join(map(_sentence, said)) if isinstance(said, list) else str(said)


def server_error(request: HttpRequest) -> JsonResponse:
    reference = uuid.uuid4().hex[:8]
    log.error("reference %s: %s %s", reference, request.method, request.path)
    detail = f"Something is broken on our side; nothing was changed. Tell the helpdesk the reference {reference}."
    return JsonResponse(problem(500, detail, reference=reference), status=500, content_type=MEDIA_TYPE)
