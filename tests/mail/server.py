"""A real SMTP server whose answers a test decides."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

OK = "250 OK"
Answer = Callable[[EmailMessage], str | None]
"""To a whole mail; None breaks the connection off without a word."""


class Mailbox:
    """What arrived and was taken over. `answers` holds what DATA is answered next, `recipients` what RCPT is."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.seen = 0
        self.answers: list[str | None] = []
        self.recipients: list[str] = []
        self.hook: Callable[[EmailMessage], None] = lambda message: None
        self.lock = threading.Lock()

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]) -> str:  # noqa: N802
        if self.recipients:
            return self.recipients.pop(0)
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        with self.lock:
            self.seen += 1
            answer = self.answers.pop(0) if self.answers else OK
            if answer == OK or answer is None:
                self.messages.append(message)
        await asyncio.to_thread(self.hook, message)
        if answer is None:
            assert server.transport
            server.transport.abort()
            return OK
        return answer


@contextmanager
def running(mailbox: Mailbox, port: int = 0, **options: Any) -> Iterator[int]:
    """Its port."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=port or free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop(no_assert=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
