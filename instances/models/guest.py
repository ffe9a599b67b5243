"""What an instance's own machine says of itself, and the right to say it."""

from typing import ClassVar

from django.db import models

from .instance import Instance


class Boot(models.Model):
    """The right to report the first boot of one generation, once; afterwards, the record of it."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="boots")
    generation = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the one-time token.")
    expires = models.DateTimeField()
    reported = models.DateTimeField(null=True, blank=True)
    trouble = models.JSONField(default=list, blank=True, help_text="Sentences about what did not work.")

    class Meta:
        ordering: ClassVar = ["instance", "generation"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["instance", "generation"], name="boot_once")]

    def __str__(self) -> str:
        return f"boot {self.generation} of {self.instance_id}"


class Guest(models.Model):
    """The machine that reported last, known by a credential of its own, and how hard it says that it works."""

    instance = models.OneToOneField(Instance, models.CASCADE, primary_key=True, related_name="guest")
    credential = models.CharField(max_length=64, unique=True, help_text="SHA-256 of it.")
    heard = models.DateTimeField()
    cpu_seconds = models.FloatField(null=True, blank=True, help_text="Processor time since it was started.")
    gpu = models.FloatField(null=True, blank=True, help_text="Share of its GPUs that was busy, 0 to 1.")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["heard"])]

    def __str__(self) -> str:
        return f"machine of {self.instance_id}"
