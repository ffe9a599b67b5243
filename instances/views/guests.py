"""Where machines report. They come with a token and nothing else: no session, no cookie, no form."""

import json
import math
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from instances.errors import TicketRefused
from instances.providers.base import Usage
from instances.services import guests

LONGEST = 16 << 10
SENTENCES, LETTERS = 20, 300
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def reported(answer: Answer) -> Callable[[HttpRequest], HttpResponse]:
    """A POST of a small JSON object with a bearer token; refusals are problems (RFC 9457) that tell nothing."""

    @csrf_exempt
    @require_POST
    @wraps(answer)
    def view(request: HttpRequest) -> HttpResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _problem(401, "A token is needed.", {"WWW-Authenticate": "Bearer"})
        try:
            if int(request.headers.get("Content-Length") or 0) > LONGEST:
                return _problem(413, "The report is too long.")
            said = json.loads(request.body)
            if not isinstance(said, dict):
                return _problem(400, "The report is no object.")
            return JsonResponse(answer(token.strip(), said))
        except TicketRefused as error:
            return _problem(403, str(error))
        except (ValueError, TypeError, RecursionError, RequestDataTooBig):
            return _problem(400, "The report makes no sense.")

    return view


@reported
def boot(token: str, said: dict[str, Any]) -> dict[str, Any]:
    trouble = said.get("trouble", [])
    certificate = said.get("certificate", "")
    if not isinstance(trouble, list) or not all(isinstance(sentence, str) for sentence in trouble):
        raise ValueError
    if not isinstance(certificate, str) or not re.fullmatch(r"[0-9a-f]{64}|", certificate):
        raise ValueError
    sentences = [sentence.replace("\0", "")[:LETTERS] for sentence in trouble[:SENTENCES]]
    credential = guests.report_boot(token, trouble=sentences, certificate=certificate)
    return {"credential": credential, "every": guests.EVERY.total_seconds()}


@reported
def heartbeat(token: str, said: dict[str, Any]) -> dict[str, Any]:
    cpu, gpu = _number(said.get("cpu_seconds"), math.inf), _number(said.get("gpu"), 1.0)
    guests.heartbeat(token, Usage(cpu, gpu))
    return {"every": guests.EVERY.total_seconds()}


def _number(value: Any, largest: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise ValueError
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _problem(status: int, title: str, headers: dict[str, str] | None = None) -> HttpResponse:
    body = {"type": "about:blank", "title": title, "status": status}
    return JsonResponse(body, status=status, content_type="application/problem+json", headers=headers)
