"""A mail goes to a real server: once, again after what may pass, never again after what is final."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as portal
from django.db import connections
from django.utils import timezone

from auth.models import User
from instances.mail.send import CLAIM, NotNow, send, sweep, wait_after
from instances.models import Instance, Mail
from instances.models.mail import Fate, Kind
from instances.services.mail import PATIENCE, notify
from tests.facility import Facility, instance

from .conftest import clear_jobs
from .server import Mailbox, free_port, running
from .test_notify import jobs


@pytest.fixture
def row(facility: Facility) -> Instance:
    return instance(facility, facility.ada, name="Rings")


def told(row: Instance, kind: Kind = Kind.CREATED, key: str = "k", **facts: Any) -> Mail:
    notify(row.owner, kind, key=key, instance=row, **facts)
    return Mail.objects.get(key=key)


def fresh(mail: Mail) -> Mail:
    return Mail.objects.get(pk=mail.pk)


def test_it_has_text_and_html_and_says_what_happened_until_when_and_where_to_go(
    row: Instance, mailbox: Mailbox
) -> None:
    mail = told(row, until="2026-12-04T14:00:00Z")
    send(mail.pk)
    (got,) = mailbox.messages
    assert (got["To"], got["Subject"]) == ("Ada Lind <ada@example.org>", "You launched “Rings”")
    assert got["Message-ID"] == f"<{mail.pk.hex}.{portal.DEPLOYMENT}@localhost>"
    assert got["Auto-Submitted"] == "auto-generated" and "VISA" in got["From"]
    assert [part.get_content_type() for part in got.iter_parts()] == ["text/plain", "text/html"]
    for part in got.iter_parts():
        content = part.get_content()
        for words in ("Friday 4 December 2026 at 14:00 UTC", f"/instances/{row.pk}/", "/account/mail/", mail.pk.hex):
            assert words in content
    assert max(len(line) for line in got.get_body(("plain",)).get_content().splitlines()) <= 90
    mail = fresh(mail)
    assert (mail.fate, mail.address, mail.attempts, mail.claim) == (Fate.SENT, "ada@example.org", 1, None)
    assert mail.sent


def test_a_mail_that_was_sent_is_not_sent_again(row: Instance, mailbox: Mailbox) -> None:
    mail = told(row)
    for _ in range(3):
        send(mail.pk)
    assert len(mailbox.messages) == 1


@pytest.mark.django_db(transaction=True)
def test_three_workers_that_compete_for_twenty_mails_send_each_once(row: Instance, mailbox: Mailbox) -> None:
    mails = [told(row, key=f"{n}") for n in range(20)]
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        for mail in mails:
            send(mail.pk)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({message["Message-ID"] for message in mailbox.messages}) == len(mailbox.messages) == 20
    assert Mail.objects.filter(fate=Fate.SENT, attempts=1).count() == 20


def refused(mail: Mail) -> Mail:
    with pytest.raises(NotNow):
        send(mail.pk)
    mail = fresh(mail)
    assert mail.fate == Fate.WAITING and mail.claim is None
    return mail


def test_a_temporary_refusal_is_tried_again_and_then_sent(row: Instance, mailbox: Mailbox) -> None:
    mailbox.answers = ["451 Try again later"]
    mailbox.recipients = ["450 Greylisted", "250 OK"]
    mail = told(row)
    mailbox.recipients = ["450 Greylisted"]
    assert refused(mail).trouble == "The mail server refuses the address: 450 Greylisted"
    assert refused(mail).trouble == "The mail server refuses the mail: 451 Try again later"
    send(mail.pk)
    assert fresh(mail).fate == Fate.SENT and fresh(mail).attempts == 3
    assert len(mailbox.messages) == 1


@pytest.mark.parametrize(
    ("answers", "recipients", "words"),
    [
        ([], ["550 No such user"], "The mail server refuses the address: 550 No such user"),
        (["554 This is spam"], [], "The mail server refuses the mail: 554 This is spam"),
    ],
)
def test_a_final_refusal_is_recorded_and_not_tried_again(
    answers: list[str | None], recipients: list[str], words: str, row: Instance, mailbox: Mailbox
) -> None:
    mailbox.answers, mailbox.recipients = answers, recipients
    mail = told(row)
    for _ in range(2):
        send(mail.pk)
    mail = fresh(mail)
    assert (mail.fate, mail.trouble, mail.attempts) == (Fate.FAILED, words, 1)
    assert not mailbox.messages


def test_a_login_that_is_refused_can_be_mended_and_its_password_is_shown_nowhere(
    row: Instance, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from aiosmtpd.smtp import AuthResult

    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "portal", "very-secret"
    mailbox, mail = Mailbox(), told(row)
    good = {"now": False}

    def check(*_: Any) -> AuthResult:
        return AuthResult(success=good["now"], handled=good["now"])

    with running(mailbox, authenticator=check, auth_require_tls=False, auth_required=True) as settings.EMAIL_PORT:
        assert refused(mail).trouble.startswith("The mail server refuses the portal’s login: 535")
        assert "very-secret" not in caplog.text + fresh(mail).trouble
        good["now"] = True
        send(mail.pk)
    assert fresh(mail).fate == Fate.SENT


def test_a_server_that_is_down_is_waited_for(row: Instance, settings: Any) -> None:
    settings.EMAIL_PORT = port = free_port()
    mail = told(row)
    assert refused(mail).trouble.startswith("The mail server does not answer")
    mailbox = Mailbox()
    with running(mailbox, port):
        send(mail.pk)
    assert len(mailbox.messages) == 1 and fresh(mail).fate == Fate.SENT


def test_a_worker_without_a_server_leaves_it_to_one_that_has(row: Instance, mailbox: Mailbox, settings: Any) -> None:
    mail = told(row)
    settings.SENDS_MAIL = False
    assert refused(mail).trouble == "No mail server is configured."
    settings.SENDS_MAIL = True
    send(mail.pk)
    assert fresh(mail).fate == Fate.SENT


def test_a_connection_that_breaks_before_the_mail_was_handed_over_is_tried_again(row: Instance, settings: Any) -> None:
    class Breaking(Mailbox):
        broken = False

        async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
            if not self.broken:
                self.broken = True
                server.transport.abort()
            envelope.mail_from = address
            return "250 OK"

    mailbox, mail = Breaking(), told(row)
    with running(mailbox) as settings.EMAIL_PORT:
        assert refused(mail).trouble == "The mail server broke the connection off, or took too long."
        send(mail.pk)
    assert len(mailbox.messages) == 1


def test_a_connection_that_breaks_before_the_answer_leads_to_the_same_mail_again(
    row: Instance, mailbox: Mailbox
) -> None:
    mailbox.answers = [None]
    mail = told(row)
    refused(mail)
    send(mail.pk)
    first, second = mailbox.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert fresh(mail).fate == Fate.SENT


def test_after_four_days_it_is_given_up_with_the_reason(row: Instance, settings: Any) -> None:
    settings.EMAIL_PORT = free_port()
    mail = told(row)
    Mail.objects.update(attempts=98, patience_until=timezone.now())
    send(mail.pk)
    mail = fresh(mail)
    assert mail.fate == Fate.FAILED and mail.trouble.endswith("It was tried 99 times.")
    waits = sum((wait_after(n) for n in range(1, 99)), timedelta())
    assert timedelta(days=3) < waits < PATIENCE


def test_what_cannot_be_written_is_not_lost(row: Instance, mailbox: Mailbox) -> None:
    mail = told(row)
    Mail.objects.update(kind="unheard-of")
    assert "TemplateDoesNotExist" in refused(mail).trouble
    Mail.objects.update(kind="created")
    send(mail.pk)
    assert fresh(mail).fate == Fate.SENT


def test_a_name_cannot_smuggle_headers_or_markup_in(row: Instance, mailbox: Mailbox) -> None:
    evil = 'x\r\nBcc: eve@example.org\r\n\r\n<script>alert(1)</script>{{ facility }}"'
    Instance.objects.filter(pk=row.pk).update(name=evil)
    User.objects.filter(pk=row.owner_id).update(name="Ada\nBcc: eve@example.org")
    mail = told(row)
    send(mail.pk)
    (got,) = mailbox.messages
    assert got["Bcc"] is None and "Bcc: eve@example.org" in got["Subject"]
    assert [address.addr_spec for address in got["To"].addresses] == ["ada@example.org"]
    text, html = (part.get_content() for part in got.iter_parts())
    assert "<script>" in text and "{{ facility }}" in text
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_somebody_who_was_blocked_meanwhile_gets_none(row: Instance, mailbox: Mailbox) -> None:
    mail = told(row)
    User.objects.filter(pk=row.owner_id).update(is_active=False)
    send(mail.pk)
    assert (fresh(mail).fate, fresh(mail).trouble) == (Fate.SKIPPED, "Their account is blocked.")
    assert not mailbox.messages


def test_a_warning_of_what_has_happened_already_is_not_sent(row: Instance, mailbox: Mailbox) -> None:
    mail = told(row, Kind.EXPIRY_WARNING, at=timezone.now() - timedelta(minutes=1))
    send(mail.pk)
    assert fresh(mail).fate == Fate.SKIPPED and "too late" in fresh(mail).trouble
    assert not mailbox.messages


def test_an_address_that_is_none_is_not_tried(row: Instance, mailbox: Mailbox) -> None:
    User.objects.filter(pk=row.owner_id).update(email="ada@example.org, bob@example.org")
    mail = told(row)
    send(mail.pk)
    assert fresh(mail).fate == Fate.SKIPPED and not mailbox.messages


def test_a_mail_whose_job_was_lost_gets_another_one_and_one_only(row: Instance) -> None:
    mail = told(row)
    assert sweep() == 0
    clear_jobs()
    Mail.objects.update(due=timezone.now())
    assert sweep() == 1 and jobs() == [f"mail:{mail.pk}"]
    Mail.objects.update(due=timezone.now())
    assert sweep() == 1 and len(jobs()) == 1
    Mail.objects.update(due=timezone.now(), claim=mail.pk, claim_until=timezone.now() + CLAIM)
    assert sweep() == 0
