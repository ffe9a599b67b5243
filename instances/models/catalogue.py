"""What can be chosen: clouds, environments and flavours."""

from typing import ClassVar

from django.db import models

from instances.providers.base import Capacity


class Cloud(models.Model):
    """A configured provider, with what its last observation said of it."""

    name = models.SlugField(unique=True)
    title = models.CharField(max_length=100)
    kind = models.CharField(max_length=32)
    settings = models.JSONField(default=dict, blank=True, help_text="No secrets: they come from the environment.")
    enabled = models.BooleanField(default=True)
    capacity = models.JSONField(default=dict, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True, help_text="When its list was last asked for.")
    observed_at = models.DateTimeField(null=True, blank=True, help_text="When it last answered.")
    capacity_at = models.DateTimeField(null=True, blank=True, help_text="When it last said what it can run.")
    trouble = models.TextField(blank=True, help_text="Why it does not answer; empty while it does.")
    trouble_since = models.DateTimeField(null=True, blank=True)
    doubt = models.TextField(blank=True, help_text="Why its answers are not believed: too much is missing at once.")
    doubt_since = models.DateTimeField(null=True, blank=True)

    rate = models.FloatField(default=5.0, help_text="Calls that change something, per second, in the long run.")
    burst = models.PositiveIntegerField(default=20, help_text="Such calls that may come at once.")
    concurrency = models.PositiveIntegerField(default=8, help_text="Such calls under way at the same time.")
    tokens = models.FloatField(default=0, help_text="Calls that may be made now.")
    tokens_at = models.DateTimeField(null=True, blank=True, help_text="When `tokens` was right.")
    failures = models.PositiveIntegerField(default=0, help_text="Calls that failed, in a row.")
    closed_until = models.DateTimeField(
        null=True, blank=True, help_text="Nothing is asked of it before: too many calls failed in a row."
    )

    def __str__(self) -> str:
        return self.title

    @property
    def limits(self) -> Capacity | None:
        """The capacity it last reported; None until it has answered once."""
        if not self.capacity:
            return None
        return Capacity(
            **self.capacity | {"images": frozenset(self.capacity["images"]), "notes": tuple(self.capacity["notes"])}
        )


class Environment(models.Model):
    """Software that a person chooses. `apps` is what it serves, in the order in which it is offered."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    description = models.TextField()
    icon = models.CharField(max_length=50, help_text="A bootstrap-icons name.")
    software = models.JSONField(default=list, help_text="Names with versions, shown when unfolded.")
    apps = models.JSONField(default=list, help_text='["desktop"] or ["jupyter"]')
    image = models.CharField(max_length=200, help_text="Its name in the clouds.")
    position = models.PositiveSmallIntegerField(default=0)
    visible = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Flavour(models.Model):
    """Hardware that a person chooses."""

    class Group(models.TextChoices):
        GENERAL = "general", "General"
        MEMORY = "memory", "Memory"
        GPU = "gpu", "GPU"

    slug = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    group = models.CharField(max_length=16, choices=Group.choices, default=Group.GENERAL)
    cores = models.FloatField()
    memory_mb = models.PositiveIntegerField()
    gpu_model = models.CharField(max_length=32, blank=True)
    gpu_count = models.PositiveSmallIntegerField(default=0)
    position = models.PositiveSmallIntegerField(default=0)
    visible = models.BooleanField(default=True)
    clouds = models.ManyToManyField(Cloud, through="FlavourOffer", related_name="flavours")

    class Meta:
        ordering: ClassVar = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def memory_gb(self) -> float:
        return round(self.memory_mb / 1024, 1)


class FlavourOffer(models.Model):
    """A flavour in one cloud, under the name it has there. Lower `preference` is tried first."""

    flavour = models.ForeignKey(Flavour, models.CASCADE, related_name="offers")
    cloud = models.ForeignKey(Cloud, models.CASCADE, related_name="offers")
    name = models.CharField(max_length=100, blank=True)
    preference = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["flavour", "cloud"], name="offer_once")]

    def __str__(self) -> str:
        return f"{self.flavour_id} in {self.cloud_id}"
