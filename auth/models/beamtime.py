"""What the facility's catalogue says: instruments, proposals, experiments and who took part."""

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth import unix
from auth.data import ExperimentFacts, Part


class Instrument(models.Model):
    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=200)
    source = models.CharField(max_length=64, blank=True, help_text="The catalogue that it came from.")
    folder = models.CharField(
        max_length=200,
        default="visitor/{proposal}/{instrument}/{date}",
        help_text="Where an experiment's data lies under the data root.",
    )

    def __str__(self) -> str:
        return self.code.upper()


class Clipboard(models.TextChoices):
    """What may be copied between a visitor's computer and a desktop with its data."""

    BOTH = "both", "in and out"
    IN = "in", "only in"
    OUT = "out", "only out"
    NONE = "none", "neither in nor out"


class Proposal(models.Model):
    code = models.SlugField(max_length=32, unique=True)
    title = models.CharField(max_length=300)
    abstract = models.TextField(blank=True)
    proprietary = models.BooleanField(default=False)
    released = models.DateField(null=True, blank=True, help_text="From this day the data is public; empty: never.")
    doi = models.CharField(max_length=120, blank=True)
    gid = models.PositiveBigIntegerField(unique=True, editable=False, help_text="The Unix group of its data.")
    source = models.CharField(max_length=64, blank=True, help_text="The catalogue that it came from.")
    clipboard = models.CharField(
        max_length=8,
        blank=True,
        default="",
        db_default="",
        choices=Clipboard.choices,
        help_text="What may be copied into and out of instances with its data; empty: as everywhere.",
    )

    class Meta:
        # Asked for with every list of experiments; the rows themselves, with their abstracts, are large.
        indexes: ClassVar = [
            models.Index(
                fields=["released"], include=["id"], name="proposal_public", condition=Q(proprietary=False) & ~Q(doi="")
            ),
            models.Index(fields=["id"], name="proposal_proprietary", condition=Q(proprietary=True)),
        ]

    def __str__(self) -> str:
        return self.code.upper()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.gid is None:
            self.gid = unix.free_gids(1)[0]
        super().save(*args, **kwargs)


class Experiment(models.Model):
    key = models.CharField(max_length=100, unique=True, help_text="The catalogue's own key.")
    proposal = models.ForeignKey(Proposal, models.PROTECT, related_name="experiments")
    instrument = models.ForeignKey(Instrument, models.PROTECT, related_name="experiments")
    title = models.CharField(max_length=300)
    source = models.CharField(max_length=64, blank=True, help_text="The catalogue that it came from.")
    start = models.DateTimeField()
    end = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-start", "id"]
        indexes: ClassVar = [models.Index(fields=["-start", "id"])]

    def __str__(self) -> str:
        return f"{self.proposal} on {self.instrument}, {self.start:%d %b %Y}"

    @property
    def folder(self) -> str:
        start = self.start
        return self.instrument.folder.format(
            proposal=self.proposal.code, instrument=self.instrument.code, date=f"{start:%Y%m%d}", year=f"{start:%Y}"
        )

    @property
    def facts(self) -> ExperimentFacts:
        return ExperimentFacts(
            id=self.pk,
            proposal=str(self.proposal),
            title=self.title,
            instrument=str(self.instrument),
            start=self.start,
            end=self.end,
            folder=self.folder,
            released=self.proposal.released,
            doi=self.proposal.doi,
            proprietary=self.proposal.proprietary,
        )

    def phase(self, at: datetime | None = None) -> str:
        """`running`, `upcoming` or `past`."""
        at = at or timezone.now()
        return "upcoming" if at < self.start else "running" if at < self.end else "past"


class Participation(models.Model):
    user = models.ForeignKey("User", models.CASCADE, related_name="participations")
    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="participations")
    part = models.CharField(max_length=32, choices=[(part.value, part.label) for part in Part])
    source = models.CharField(
        max_length=64, blank=True, help_text="The catalogue that says so; each speaks for itself."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "experiment", "part", "source"], name="participation_once")
        ]

    def __str__(self) -> str:
        return f"{self.part} in {self.experiment_id}"
