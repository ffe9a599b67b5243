"""Mail: what waits, what was sent, what could not be and why; reading one, and sending it again."""

import re
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from auth import audit
from instances.errors import Conflict
from instances.mail import compose
from instances.models import Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import send_again
from instances.views.common import user_of
from instances.views.home import kept

from .common import ROWS, administrators, asked, shown, staff

MAILS = Mail.objects.select_related("to", "instance__environment", "instance__flavour")


@staff
@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    query = asked(request, "search", "fate", "kind")
    found = MAILS.order_by("-created", "pk")
    if query["fate"]:
        found = found.filter(fate=query["fate"])
    if query["kind"]:
        found = found.filter(kind=query["kind"])
    for word in query["search"].split():
        about = Q(to__name__icontains=word) | Q(to__username__icontains=word) | Q(address__icontains=word)
        found = found.filter(about | Q(pk=UUID(word)) if re.fullmatch(r"[0-9a-f]{32}", word) else about)
    page = Paginator(found, ROWS).get_page(request.GET.get("page"))
    return shown(
        request, "mail.html", "mail", found=page, query=query, keep=kept(query), fates=list(Fate), kinds=list(Kind)
    )


@staff
@require_safe
def letter(request: HttpRequest, mail_id: UUID) -> HttpResponse:
    return _letter(request, get_object_or_404(MAILS, pk=mail_id))


@administrators(reason="to send a mail again")
@require_http_methods(["GET", "HEAD", "POST"])
def resend(request: HttpRequest, mail_id: UUID) -> HttpResponseBase:
    mail = get_object_or_404(MAILS, pk=mail_id)
    if request.method != "POST":
        return _letter(request, mail, asks=True)
    try:
        send_again(mail.pk, acting_user=user_of(request))
    except Conflict as error:
        return _letter(request, mail, 409, asks=True, problem=str(error))
    messages.success(request, "It is on its way again.")
    return redirect("instances:administration_letter", mail.pk)


def _letter(request: HttpRequest, mail: Mail, status: int = 200, **context: object) -> HttpResponse:
    """What it says and what became of it. Reading somebody's mail is an access, and leaves a row."""
    with transaction.atomic():
        audit.record("mail.read", f"mail:{mail.pk}", actor=user_of(request).as_actor(), detail={"to": mail.to_id})
    says = compose.context_of(mail)
    text = compose.text_of(mail, says)
    return shown(request, "letter.html", "mail", status, mail=mail, subject=says["subject"], text=text, **context)
