"""Whom an owner let into an instance."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth.models import User
from instances.policy import COLLABORATOR, VIEWER

from .connection import Mode
from .instance import Instance


class Member(models.Model):
    """A row lasts as long as the right does; what was before stands in the audit trail."""

    class Role(models.TextChoices):
        COLLABORATOR = COLLABORATOR, "Control"
        VIEWER = VIEWER, "Watch"

        @property
        def mode(self) -> Mode:
            """That of their seats in the desktop."""
            return Mode.CONTROL if self == Member.Role.COLLABORATOR else Mode.WATCH

    class Basis(models.TextChoices):
        """Why they may be a member at all; with it, the membership ends."""

        TEAM = "team", "In the team of one of its experiments"
        SUPPORT = "support", "Looks after it, and asked"
        INVITED = "invited", "From outside the teams, with an invitation"

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="members")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", help_text="Their account.")
    role = models.CharField(max_length=16, choices=Role.choices)
    basis = models.CharField(max_length=16, choices=Basis.choices, default=Basis.TEAM)
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: for as long as the instance exists.")
    offered = models.DateTimeField(null=True, blank=True, help_text="Its owner wants to hand it over since then.")
    added = models.DateTimeField(default=timezone.now)
    added_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["user__name", "pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["instance", "user"], name="member_once")]
        indexes: ClassVar = [models.Index(fields=["until"], name="member_until", condition=Q(until__isnull=False))]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.instance_id}"

    @property
    def last_day(self) -> str:
        """As a form takes it: the day whose end is `until`."""
        return f"{self.until - timedelta(seconds=1):%Y-%m-%d}" if self.until else ""
