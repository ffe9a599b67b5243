"""What came of reading the facility's catalogues, and what of an unfinished reading is worth keeping."""

from typing import ClassVar

from django.db import models
from django.utils import timezone


class CatalogueRun(models.Model):
    """One reading of one catalogue, by schedule or by hand; rehearsals leave none."""

    class Mode(models.TextChoices):
        FULL = "full"
        INCREMENTAL = "incremental"

    class Outcome(models.TextChoices):
        RUNNING = "running"
        APPLIED = "applied"
        UNCHANGED = "unchanged"
        REFUSED = "refused"
        """It lost so much at once that it is not believed."""
        UNAVAILABLE = "unavailable"
        INVALID = "invalid"
        FAILED = "failed"
        """By a mistake of the portal's, or the process ended."""

    name = models.CharField(max_length=64)
    mode = models.CharField(max_length=16, choices=Mode.choices)
    began = models.DateTimeField(default=timezone.now)
    ended = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.RUNNING)
    counts = models.JSONField(default=dict, help_text="participation.add and so on: how many.")
    problems = models.JSONField(default=list, help_text="Why nothing was changed, a sentence each.")
    notes = models.JSONField(default=list, help_text="What was left out or kept, a sentence each.")
    cursor = models.JSONField(default=dict, help_text="Where the next run goes on; only the last good one has it.")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["name", "-began"], name="catalogue_runs")]

    def __str__(self) -> str:
        return f"{self.name} {self.began:%Y-%m-%d %H:%M} {self.outcome}"


class CataloguePage(models.Model):
    """A page of a reading that is under way or was interrupted, for the next one to go on after."""

    name = models.CharField(max_length=64)
    reading = models.CharField(max_length=64, help_text="What was asked for, with which configuration.")
    skip = models.PositiveIntegerField()
    total = models.PositiveIntegerField()
    taken = models.DateTimeField(default=timezone.now)
    rows = models.BinaryField(help_text="JSON, deflated.")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "skip"], name="catalogue_page_once")]

    def __str__(self) -> str:
        return f"{self.name} from {self.skip}"
