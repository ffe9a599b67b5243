"""Sending: each mail once, as far as that can be had.

A worker claims the row before it opens a connection, and nobody else sends while the claim lasts. What it finds out is
written under that claim: taken over by the server (sent), refused for good (failed), or not now (tried again later).
Where nobody can know, because the connection or the worker died after the mail was handed over and before the answer
was written down, the mail is sent again under the same Message-ID: a warning that arrives twice does less harm than one
that never does. The row then says that this happened.
"""

import logging
import random
import smtplib
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from auth.models import User
from instances.models.mail import WARNINGS, Fate, Kind, Mail
from instances.services.mail import LOST_AFTER, NO_SERVER, address_of, hand_over, identities_of
from instances.services.mail_preferences import moment_of

from . import compose

log = logging.getLogger(__name__)
CLAIM = timedelta(minutes=10)
"""Longer than any server is waited for. After a worker's death the next one waits this long at most."""
LONGEST_WAIT = timedelta(hours=1)
BATCH = 200


class NotNow(Exception):
    """It could not be sent, and may be at `at`."""

    def __init__(self, at: datetime, why: str) -> None:
        super().__init__(why)
        self.at = at


def send(mail_id: UUID) -> None:
    """Send it unless it was sent, is being sent, or is not to be sent any more. NotNow says when to try again."""
    mail = _claimed(mail_id)
    if mail is None:
        return
    identities = identities_of(mail.to)
    address = address_of(identities)
    if why := _obstacle(mail, identities, address):
        _settle(mail, Fate.SKIPPED, why)
        return
    try:
        if not settings.SENDS_MAIL:
            raise ImproperlyConfigured(NO_SERVER)
        compose.message(mail, address).send()
    except Exception as error:
        _failed(mail, address, error)
    else:
        _settle(mail, Fate.SENT, mail.trouble, address=address, sent=timezone.now())


def sweep() -> int:
    """A new job for each mail that should be under way and is not: its job was lost, or its worker died."""
    now = timezone.now()
    with transaction.atomic():
        lost = Mail.objects.filter(Q(claim=None) | Q(claim_until__lt=now), fate=Fate.WAITING, due__lte=now)
        found = list(
            lost.select_for_update(skip_locked=True, no_key=True).order_by("due").values_list("pk", flat=True)[:BATCH]
        )
        Mail.objects.filter(pk__in=found).update(due=now + LOST_AFTER)
        for mail_id in found:
            hand_over(mail_id)
    return len(found)


def _claimed(mail_id: UUID) -> Mail | None:
    """The row, if it is to be sent and nobody else is at it."""
    now = timezone.now()
    seen = Mail.objects.filter(Q(claim=None) | Q(claim_until__lt=now), pk=mail_id, fate=Fate.WAITING).first()
    if seen is None:
        return None
    fields = {"claim": uuid4(), "claim_until": now + CLAIM, "due": now + CLAIM}
    if seen.claim:
        fields["trouble"] = "A worker ended while it sent this: it may arrive twice, under the same Message-ID."
        log.warning("mail %s: %s", mail_id, fields["trouble"])
    mine = Mail.objects.filter(pk=mail_id, fate=Fate.WAITING, claim=seen.claim, claim_until=seen.claim_until)
    if not mine.update(**fields, attempts=F("attempts") + 1):
        return None
    return Mail.objects.select_related("to", "instance__environment", "instance__flavour").get(pk=mail_id)


def _obstacle(mail: Mail, identities: list[User], address: str) -> str:
    """Why it is not to be sent after all: things may have changed since it was decided."""
    if not all(row.is_active for row in identities):
        return "Their account is blocked."
    if not address:
        return "No e-mail address of theirs is known."
    try:
        validate_email(address)
    except ValidationError:
        return f"What is known as their e-mail address is none: {compose.one_line(address)}"
    at = moment_of(mail.facts.get("at"))
    if mail.kind in WARNINGS and at and at <= timezone.now():
        return "It came too late: the moment that it warned of has passed."
    return ""


def _failed(mail: Mail, address: str, error: Exception) -> None:
    """What the server says of the mail or its reader is final. The rest may be mended, by us or by others."""
    why, now = said(error), timezone.now()
    if not isinstance(error, OSError | ImproperlyConfigured):  # what smtplib raises is an OSError
        log.exception("mail %s (%s) cannot be written", mail.pk, mail.kind)
    if _is_final(error):
        _settle(mail, Fate.FAILED, why, address=address)
    elif mail.patience_until and now >= mail.patience_until:
        _settle(mail, Fate.FAILED, f"{why} It was tried {mail.attempts} times.", address=address)
    else:
        at = now + wait_after(mail.attempts)
        log.warning("mail %s (%s) could not be sent, next try at %s: %s", mail.pk, mail.kind, at, why)
        mine = Mail.objects.filter(pk=mail.pk, claim=mail.claim)
        mine.update(claim=None, claim_until=None, trouble=why, due=at + LOST_AFTER)
        raise NotNow(at, why) from error


def _is_final(error: Exception) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500


def wait_after(attempts: int) -> timedelta:
    """10 s after the first attempt, twice as long after each further one, an hour at most; with jitter."""
    seconds = min(LONGEST_WAIT.total_seconds(), 5.0 * 2 ** min(attempts, 16))
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311


def said(error: Exception) -> str:
    """In words, with what the server said; never what was said to it."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return _quoted("The mail server refuses the address", code, text)
    if isinstance(error, smtplib.SMTPSenderRefused):
        return _quoted("The mail server refuses the sender", error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return _quoted("The mail server refuses the portal’s login", error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPDataError):
        return _quoted("The mail server refuses the mail", error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPResponseException):
        return _quoted("The mail server answers", error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "The mail server broke the connection off, or took too long."
    if isinstance(error, ImproperlyConfigured):
        return str(error)
    if isinstance(error, OSError):
        return _quoted("The mail server does not answer", "", str(error))
    return f"The portal could not write this mail ({type(error).__name__}); its log says more."


def _quoted(what: str, code: int | str, text: bytes | str) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    return f"{what}: {compose.one_line(f'{code} {words}')[:300]}"


def _settle(mail: Mail, fate: Fate, trouble: str, **fields: object) -> None:
    """Write down what became of it, and of what a digest held."""
    with transaction.atomic():
        mine = Mail.objects.filter(pk=mail.pk, claim=mail.claim, fate=Fate.WAITING)
        if not mine.update(fate=fate, trouble=trouble, claim=None, claim_until=None, **fields):
            log.warning("mail %s took longer than its claim; it may arrive twice", mail.pk)
            return
        if mail.kind == Kind.DIGEST:
            Mail.objects.filter(digest=mail.pk).update(fate=fate, trouble=trouble, **fields)
