"""How much may be had at once, as administrators decide it."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth.access import Role
from auth.models import Instrument, Proposal, User
from instances.quotas import Limits, Scope


class Quota(models.Model):
    """Limits for everybody together, for each person, for each holder of a role, for proposals or for instruments.

    Without a person, proposal or instrument it is the default for each of them. A role's replaces the default of
    persons, a person's own replaces both.
    """

    scope = models.CharField(max_length=16, choices=[(scope.value, scope.value.capitalize()) for scope in Scope])
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="quotas")
    role = models.CharField(max_length=32, blank=True, choices=[(role.value, role.label) for role in Role])
    proposal = models.ForeignKey(Proposal, models.CASCADE, null=True, blank=True, related_name="quotas")
    instrument = models.ForeignKey(Instrument, models.CASCADE, null=True, blank=True, related_name="quotas")

    instances = models.PositiveIntegerField(null=True, blank=True, help_text="None, here and below: no limit.")
    cores = models.FloatField(null=True, blank=True)
    memory_mb = models.PositiveIntegerField(null=True, blank=True)
    gpus = models.JSONField(default=dict, blank=True, help_text='By model; "*": of all models together.')

    because = models.CharField(max_length=200)
    set_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    set_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["scope", "user", "role", "proposal", "instrument"], name="quota_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="quota_subject",
                condition=(Q(user=None) | Q(scope=Scope.PERSON))
                & ((Q(role="") & ~Q(scope=Scope.ROLE)) | (~Q(role="") & Q(scope=Scope.ROLE)))
                & (Q(proposal=None) | Q(scope=Scope.PROPOSAL))
                & (Q(instrument=None) | Q(scope=Scope.INSTRUMENT)),
            ),
        ]

    def __str__(self) -> str:
        """Whom it is for."""
        match self.scope:
            case Scope.GLOBAL:
                return "everybody together"
            case Scope.ROLE:
                return f"each {Role(self.role).label}"
        return str(self.user or self.proposal or self.instrument or f"each {self.scope}")

    @property
    def limits(self) -> Limits:
        return Limits(self.instances, self.cores, self.memory_mb, self.gpus)
