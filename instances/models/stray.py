"""What a cloud holds in our name and should not."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from .catalogue import Cloud


class Stray(models.Model):
    """An orphan (its instance is unknown here) or a duplicate (its instance exists elsewhere in the same cloud).

    Reported when first seen. Nothing is done to it but by the site's policy or by an administrator's hand.
    """

    class Kind(models.TextChoices):
        ORPHAN = "orphan", "Orphan"
        DUPLICATE = "duplicate", "Duplicate"

    class Fate(models.TextChoices):
        REPORTED = "", "Reported"
        ADOPT = "adopt", "To be adopted"
        DELETE = "delete", "To be deleted"

    cloud = models.ForeignKey(Cloud, models.CASCADE, related_name="strays")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    key = models.CharField(max_length=32, help_text="The instance's id in the cloud's metadata, 32 hex digits.")
    reference = models.CharField(max_length=200, blank=True, help_text="What the cloud calls it.")
    labels = models.JSONField(default=dict)
    phase = models.CharField(max_length=16)
    generation = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True)
    found = models.DateTimeField(default=timezone.now)
    seen = models.DateTimeField(default=timezone.now)
    fate = models.CharField(max_length=16, choices=Fate.choices, default=Fate.REPORTED, blank=True)
    trouble = models.TextField(blank=True, help_text="Why its fate could not be carried out yet.")

    class Meta:
        ordering: ClassVar = ["found", "pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["cloud", "key", "reference"], name="stray_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key[:8]} in {self.cloud_id}"
