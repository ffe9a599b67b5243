"""Mails: each row is the errand to send one, and afterwards the record of what became of it."""

import uuid
from enum import StrEnum
from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from auth.models import User

from .instance import Instance


class Kind(StrEnum):
    """What a mail tells. The facts that go with each: services/mail.py."""

    CREATED = "created"
    STOPPED = "stopped"
    DELETED = "deleted"
    FAILED = "failed"
    EXPIRY_WARNING = "expiry_warning"
    IDLE_WARNING = "idle_warning"
    DELETION_WARNING = "deletion_warning"
    EXTENSION_ASKED = "extension_asked"
    EXTENSION_DECIDED = "extension_decided"
    SHARED = "shared"
    ACCESS_ASKED = "access_asked"
    ACCESS_GIVEN = "access_given"
    OFFERED = "offered"
    ALERT = "alert"
    DIGEST = "digest"
    """Made of others, once a day."""

    @property
    def label(self) -> str:
        return self.value.capitalize().replace("_", " ")


WARNINGS = frozenset({Kind.EXPIRY_WARNING, Kind.IDLE_WARNING, Kind.DELETION_WARNING})


class Fate(StrEnum):
    WAITING = "waiting"
    """To be sent at once, or again after a failure that may pass."""
    COLLECTED = "collected"
    """Its reader gets it with the next digest."""
    SENT = "sent"
    """A mail server has taken it over, alone or within a digest."""
    FAILED = "failed"
    """Refused for good, or for too long."""
    SKIPPED = "skipped"
    """Not to be sent; `trouble` says why."""


class Mail(models.Model):
    """One mail to one person. Its id makes its Message-ID, so that whatever is sent twice is known to be the same."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    to = models.ForeignKey(User, models.PROTECT, related_name="mails")
    key = models.CharField(max_length=200, help_text="What it is about: a person gets one mail for each, ever.")
    kind = models.CharField(max_length=32, choices=[(kind.value, kind.label) for kind in Kind])
    instance = models.ForeignKey(Instance, models.SET_NULL, null=True, blank=True, related_name="mails")
    facts = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    created = models.DateTimeField(default=timezone.now)

    fate = models.CharField(max_length=16, choices=[(fate.value, fate.value.capitalize()) for fate in Fate])
    trouble = models.TextField(blank=True, help_text="Why it was not sent, or not yet.")
    digest = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="parts")
    address = models.EmailField(blank=True, help_text="Where it was sent.")
    attempts = models.PositiveSmallIntegerField(default=0)
    due = models.DateTimeField(default=timezone.now, help_text="When it should be under way; else its job was lost.")
    patience_until = models.DateTimeField(null=True, blank=True, help_text="Tried again until then.")
    claim = models.UUIDField(null=True, blank=True, help_text="Who is sending it.")
    claim_until = models.DateTimeField(null=True, blank=True)
    sent = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["to", "key"], name="mail_once")]
        indexes: ClassVar = [
            models.Index(fields=["due"], name="mail_due", condition=models.Q(fate=Fate.WAITING)),
            models.Index(fields=["to"], name="mail_collected", condition=models.Q(fate=Fate.COLLECTED, digest=None)),
            models.Index(fields=["fate", "-created"], name="mail_fate"),
            models.Index(fields=["-created"], name="mail_created"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.to_id}"
