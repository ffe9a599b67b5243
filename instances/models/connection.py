"""The right to open one connection, and the connections that are open."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from auth.models import User

from .instance import Instance


class App(models.TextChoices):
    DESKTOP = "desktop", "Desktop"
    JUPYTER = "jupyter", "JupyterLab"


class Mode(models.TextChoices):
    CONTROL = "control", "Control"
    WATCH = "watch", "Watch"


class Ticket(models.Model):
    """A single-use right, 30 seconds long; only its SHA-256 is kept. `session` ties it to the login it came from."""

    digest = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="tickets")
    app = models.CharField(max_length=16, choices=App.choices)
    mode = models.CharField(max_length=16, choices=Mode.choices)
    monitor = models.PositiveSmallIntegerField(null=True, blank=True)
    session = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the session key; empty for tokens.")
    expires = models.DateTimeField()
    redeemed = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.mode} {self.app} of {self.instance_id}"


class Connection(models.Model):
    """A live seat, leased with heartbeats by the broker that carries it; afterwards, the record of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="connections")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="connections")
    app = models.CharField(max_length=16, choices=App.choices)
    mode = models.CharField(max_length=16, choices=Mode.choices)
    monitor = models.PositiveSmallIntegerField(null=True, blank=True, help_text="The one screen that its window shows.")
    width = models.PositiveIntegerField(default=0, help_text="Of that window, in pixels; 0: not known yet.")
    height = models.PositiveIntegerField(default=0)
    session = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64, blank=True, db_index=True, help_text="SHA-256 of an app's entry cookie.")
    broker = models.CharField(max_length=64)
    address = models.GenericIPAddressField(null=True, blank=True)
    agent = models.CharField(max_length=300, blank=True)
    opened = models.DateTimeField(default=timezone.now)
    heartbeat = models.DateTimeField(default=timezone.now)
    input_at = models.DateTimeField(null=True, blank=True)
    bytes_in = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    closed = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering: ClassVar = ["-opened"]
        indexes: ClassVar = [models.Index(fields=["instance", "closed"])]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.instance_id}"
