"""What a machine showed last, kept when its instance failed."""

from django.db import models
from django.utils import timezone

from .instance import Instance


class Console(models.Model):
    """Of the generation that failed last; what is started anew or deleted has none."""

    instance = models.OneToOneField(Instance, models.CASCADE, primary_key=True, related_name="console")
    generation = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    text = models.TextField()

    def __str__(self) -> str:
        return f"console of {self.instance_id}"
