"""Instances: what is wanted, what was observed, and everything that happened to them."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from auth.models import Experiment, User
from instances.states import OPEN, Desired, Phase, Progress, State

from .catalogue import Cloud, Environment, Flavour


def choices(enum: type[Desired] | type[Phase] | type[State] | type[Progress]) -> list[tuple[str, str]]:
    return [(member.value, member.value.capitalize()) for member in enum]


class Alone(models.TextChoices):
    """What those whom the owner let in may do while the owner is not there."""

    ALLOWED = "allowed", "work in it as before"
    WATCH = "watch", "only watch"
    NO = "no", "not be in it"


class Instance(models.Model):
    """One running environment of one person for some experiments."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    notes = models.TextField(blank=True, max_length=2000)
    owner = models.ForeignKey(User, models.PROTECT, related_name="instances")
    environment = models.ForeignKey(Environment, models.PROTECT)
    flavour = models.ForeignKey(Flavour, models.PROTECT)
    cloud = models.ForeignKey(
        Cloud, models.PROTECT, related_name="instances", null=True, blank=True, help_text="None until there is room."
    )
    experiments = models.ManyToManyField(Experiment, related_name="instances", blank=True)
    display = models.JSONField(
        default=dict, help_text='{"screens": [{"width", "height"}], "fit": bool, "keyboard": "us"}'
    )
    grants = models.JSONField(default=list, help_text="The data grants it was last started with.")
    entitled_until = models.DateTimeField(null=True, blank=True, help_text="When the first of its grants ends.")
    warned_of = models.DateTimeField(null=True, blank=True, help_text="The end that its owner was warned of.")
    withheld = models.TextField(
        blank=True, help_text="Why nobody may look into it now: it still has data that its owner has lost."
    )
    created = models.DateTimeField(default=timezone.now)

    expires = models.DateTimeField(null=True, blank=True, help_text="When its lifetime ends; None: it has no end.")
    extensions = models.PositiveSmallIntegerField(default=0, help_text="How often its owner has extended it.")
    pinned = models.TextField(blank=True, help_text="Why an administrator keeps it from expiring; empty: it expires.")
    keep_until = models.DateTimeField(null=True, blank=True, help_text="It is not stopped for idleness before.")
    active_at = models.DateTimeField(null=True, blank=True, help_text="When somebody or something last worked in it.")
    warnings = models.JSONField(
        default=dict, blank=True, help_text='Given and not void, by end: {"of", "at", "last", "end"}.'
    )
    review_at = models.DateTimeField(default=timezone.now, help_text="When its lifetime is to be looked at again.")

    desired = models.CharField(max_length=16, choices=choices(Desired), default=Desired.RUNNING)
    generation = models.PositiveIntegerField(default=1, help_text="Rises with every wish to start or restart.")

    state = models.CharField(max_length=16, choices=choices(State), default=State.QUEUED)
    state_since = models.DateTimeField(default=timezone.now)
    message = models.TextField(blank=True, help_text="Why it is in this state, for its owner.")

    phase = models.CharField(max_length=16, choices=choices(Phase), default=Phase.ABSENT)
    observed_generation = models.PositiveIntegerField(default=0)
    apps_ready = models.JSONField(default=list)
    observed_at = models.DateTimeField(null=True, blank=True, help_text="When these facts were last seen to change.")
    reference = models.CharField(max_length=200, blank=True, help_text="What its cloud calls it.")
    absences = models.PositiveIntegerField(default=0, help_text="How often in a row its cloud said that it has it not.")
    missing_since = models.DateTimeField(null=True, blank=True, help_text="Since when its cloud's list lacks it.")

    alone = models.CharField(max_length=16, choices=Alone.choices, default=Alone.ALLOWED)

    waiting_since = models.DateTimeField(null=True, blank=True, help_text="In line for a place since; None: has one.")
    placed_at = models.DateTimeField(null=True, blank=True, help_text="When it last got a place from the line.")
    failures = models.PositiveIntegerField(default=0, help_text="Provider errors in a row.")
    due = models.DateTimeField(default=timezone.now, help_text="When a worker should look again.")
    lease = models.UUIDField(null=True, blank=True, help_text="Whose turn it is.")
    lease_until = models.DateTimeField(null=True, blank=True)
    acting = models.BooleanField(default=False, help_text="Its cloud is being asked to change it, under the lease.")

    thumbnail = models.BinaryField(null=True, blank=True)
    thumbnail_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created"]),
            models.Index(fields=["due"], name="instance_due", condition=~models.Q(state=State.DELETED)),
            models.Index(fields=["cloud", "state"]),
            models.Index(
                fields=["entitled_until"], name="instance_entitled", condition=models.Q(entitled_until__isnull=False)
            ),
            models.Index(
                fields=["waiting_since"], name="instance_waiting", condition=models.Q(waiting_since__isnull=False)
            ),
            models.Index(fields=["placed_at"], name="instance_placed", condition=models.Q(placed_at__isnull=False)),
            models.Index(fields=["review_at"], name="instance_review", condition=~models.Q(state=State.DELETED)),
            models.Index(fields=["cloud"], name="instance_acting", condition=models.Q(acting=True)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """Its id as 32 hex digits: the host name of its apps and its name in the clouds."""
        return self.id.hex

    @property
    def display_state(self) -> State:
        return State(self.state)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class InstanceEvent(models.Model):
    """The timeline that people see: transitions, and the steps of a launch with the provider's own line."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    generation = models.PositiveIntegerField()
    step = models.CharField(max_length=16, choices=choices(Progress), blank=True)
    before = models.CharField(max_length=16, blank=True)
    after = models.CharField(max_length=16, blank=True)
    message = models.TextField(blank=True)
    actor = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [models.Index(fields=["instance", "id"])]

    def __str__(self) -> str:
        return self.message or f"{self.before} → {self.after}"
