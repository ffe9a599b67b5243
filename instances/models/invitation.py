"""A way into an instance that works once, for whoever is given it."""

import uuid
from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from auth.models import User

from .instance import Instance
from .member import Member

VALID_FOR = timedelta(days=7)


def _end() -> object:
    return timezone.now() + VALID_FOR


class Invitation(models.Model):
    """Only the SHA-256 of its code is kept. It is open until it is used, ended, or too old."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, unique=True)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=16, choices=Member.Role.choices)
    until = models.DateTimeField(null=True, blank=True, help_text="Of the membership that it gives.")
    outside = models.BooleanField(default=False, help_text="Its maker confirmed that it is for anybody.")
    made = models.DateTimeField(default=timezone.now)
    made_by = models.ForeignKey(User, models.CASCADE, related_name="+")
    expires = models.DateTimeField(default=_end)
    used = models.DateTimeField(null=True, blank=True)
    used_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    ended = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["made", "pk"]

    def __str__(self) -> str:
        return f"into {self.instance_id}"
