"""Somebody asks an owner to be let into an instance."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth.models import User
from instances.policy import Capacity

from .connection import Mode
from .instance import Instance


class Answer(models.TextChoices):
    CONTROL = "control", "May work in it"
    WATCH = "watch", "May watch"
    NO = "no", "No"
    WITHDRAWN = "withdrawn", "Withdrawn"
    LAPSED = "lapsed", "Nobody answered"


class AccessRequest(models.Model):
    """Open until `answered`. Who asked stays to be read for as long as the instance's row does."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="requests")
    user = models.ForeignKey(User, models.CASCADE, related_name="+", help_text="Their account.")
    capacity = models.CharField(max_length=24, choices=[(one.value, one.label) for one in Capacity])
    wish = models.CharField(max_length=16, choices=Mode.choices)
    reason = models.CharField(max_length=300)
    asked = models.DateTimeField(default=timezone.now)
    answer = models.CharField(max_length=16, choices=Answer.choices, blank=True)
    answered = models.DateTimeField(null=True, blank=True)
    answered_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", help_text="Empty: the facility's rule, or time."
    )

    class Meta:
        ordering: ClassVar = ["asked", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["instance", "user"], condition=Q(answered=None), name="asked_once")
        ]
        indexes: ClassVar = [models.Index(fields=["asked"], condition=Q(answered=None), name="asked_and_open")]

    def __str__(self) -> str:
        return f"{self.user_id} asks to be let into {self.instance_id}"

    @property
    def capacity_label(self) -> str:
        return Capacity(self.capacity).label
