"""What a mail says: its subject, its text and its HTML, from templates/mail/<kind>.{subject.txt,txt,html}."""

import re
import textwrap
from email.utils import formataddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context
from django.template.loader import get_template
from django.urls import reverse

from instances.models.mail import Kind, Mail

WIDTH = 78
PAGES = {Kind.EXTENSION_ASKED: "instances:administration_requests", Kind.ALERT: "instances:administration"}
"""Where to, if it is not the instance's own page."""


def message(mail: Mail, address: str) -> EmailMultiAlternatives:
    """The mail, with a Message-ID that is the same however often it is made."""
    context = context_of(mail)
    made = EmailMultiAlternatives(
        subject=context["subject"],
        body=text_of(mail, context),
        to=[formataddr((one_line(mail.to.name), address))],
        headers={
            "Message-ID": message_id(mail),
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
    )
    made.attach_alternative(_rendered(f"mail/{mail.kind}.html", context), "text/html")
    return made


def message_id(mail: Mail) -> str:
    return f"<{mail.pk.hex}.{settings.DEPLOYMENT}@{urlsplit(settings.PORTAL_URL).hostname}>"


def subject_of(mail: Mail) -> str:
    return str(context_of(mail)["subject"])


def context_of(mail: Mail) -> dict[str, Any]:
    """What templates may show. Facts cannot take the place of anything that is not one."""
    context: dict[str, Any] = mail.facts | {
        "mail": mail,
        "person": mail.to,
        "instance": mail.instance,
        "name": f"“{mail.instance.name}”" if mail.instance else "Your instance",
        "facility": settings.FACILITY,
        "portal": settings.PORTAL_URL,
        "url": settings.PORTAL_URL + _path(mail),
        "choices_url": settings.PORTAL_URL + reverse("instances:mail"),
        "reference": mail.pk.hex,
    }
    if mail.kind == Kind.DIGEST:
        parts = mail.parts.select_related("to", "instance__environment", "instance__flavour")
        context["parts"] = [context_of(part) for part in parts.order_by("created", "pk")]
    return context | {"subject": one_line(_rendered(f"mail/{mail.kind}.subject.txt", context))}


def text_of(mail: Mail, context: dict[str, Any]) -> str:
    """Paragraphs of at most 78 characters a line, with one empty line between them."""
    paragraphs = re.split(r"\n\s*\n", _rendered(f"mail/{mail.kind}.txt", context))
    return "\n\n".join(filled for part in paragraphs if (filled := _filled(part))) + "\n"


def one_line(text: str) -> str:
    """Nothing in it ends a header or hides what stands there."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _filled(paragraph: str) -> str:
    """Each line of the template stays one, unless it is too long; an address is never broken."""
    lines = (" ".join(line.split()) for line in paragraph.splitlines())
    wrapped = (textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines if line)
    return "\n".join(wrapped)


def _path(mail: Mail) -> str:
    """The page that the button leads to; a fact `path` names another one of ours."""
    path = mail.facts.get("path", "")
    if path.startswith("/") and not path.startswith("//"):
        return str(path)
    if mail.kind in PAGES:
        return reverse(PAGES[Kind(mail.kind)])
    return reverse("instances:instance", args=[mail.instance_id]) if mail.instance_id else "/"


def _rendered(name: str, context: dict[str, Any]) -> str:
    """Text is text: only HTML is escaped."""
    template = get_template(name).template  # type: ignore[attr-defined]
    return str(template.render(Context(context, autoescape=name.endswith(".html"))))
