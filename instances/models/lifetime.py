"""How long instances live: the rules, and what people ask for beyond them."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth.access import Role
from auth.models import User

from .catalogue import Cloud, Flavour
from .instance import Instance


class LifetimeRule(models.Model):
    """For everybody on all hardware, or for a role, a flavour, or both. Which one applies: services/lifetimes.py."""

    flavour = models.ForeignKey(Flavour, models.CASCADE, null=True, blank=True, related_name="lifetimes")
    role = models.CharField(
        max_length=32, blank=True, choices=[(role.value, role.label) for role in Role], help_text="Empty: everybody."
    )
    hours = models.PositiveIntegerField(null=True, blank=True, help_text="Of lifetime; None: without end.")
    idle_hours = models.PositiveIntegerField(
        null=True, blank=True, help_text="Without activity, until it is stopped; None: never."
    )
    delete_after_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Stopped, until it is deleted; None: never."
    )
    extend_times = models.PositiveSmallIntegerField(default=0, help_text="How often its owner extends it by themself.")
    extend_hours = models.PositiveIntegerField(default=168, help_text="By how much each time.")
    on_request = models.BooleanField(default=True, help_text="Its owner may ask an administrator for more time.")

    class Meta:
        ordering: ClassVar = ["flavour__position", "role", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["flavour", "role"], name="lifetime_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        who = Role(self.role).label if self.role else "everybody"
        return f"{who} on {self.flavour.name if self.flavour else 'all hardware'}"


class ExtensionRequest(models.Model):
    """Somebody asks for a later end than they may give themself."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        ACCEPTED = "accepted", "Accepted"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="extension_requests")
    asked_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    until = models.DateTimeField(help_text="The end that is asked for; when accepted, the end that was given.")
    because = models.TextField(max_length=500)
    asked = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    decided_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    decided = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True, max_length=500)

    class Meta:
        ordering: ClassVar = ["-asked", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance"], condition=Q(state="pending"), name="extension_asked_once")
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} until {self.until}"


class Load(models.Model):
    """What a cloud's instances had used of its processors when it was last asked: the next answer is compared with it.

    Apart from the cloud's row, which is read far more often than this large one.
    """

    cloud = models.OneToOneField(Cloud, models.CASCADE, primary_key=True, related_name="load")
    claimed = models.DateTimeField(null=True, blank=True, help_text="When a worker last set out to ask.")
    at = models.DateTimeField(null=True, blank=True, help_text="When `seconds` was right.")
    seconds = models.JSONField(default=dict, help_text="Processor time by instance, since it was started.")

    def __str__(self) -> str:
        return f"load of {self.cloud_id}"
