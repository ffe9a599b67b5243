"""People, keyed by (iss, sub) and by nothing else, and the roles they were given."""

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth.access import Actor, Role

FIRST_UID = 20_000
"""Unix uids are this plus the row's id: no two people share one, and none belongs to the machine."""


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username=username)


class User(AbstractBaseUser):
    """Somebody whom an identity provider vouches for. There are no passwords here."""

    iss = models.CharField(max_length=255)
    sub = models.CharField(max_length=255)
    username = models.CharField(max_length=32, unique=True, help_text="Unix login inside instances; never a key.")
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    affiliation = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    preferences = models.JSONField(default=dict, blank=True)
    joined = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["iss", "sub", "name"]
    objects = UserManager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["iss", "sub"], name="user_identity")]

    def __str__(self) -> str:
        return self.name

    @property
    def uid(self) -> int:
        return FIRST_UID + self.pk

    @property
    def initials(self) -> str:
        words = [word for word in self.name.split() if word]
        return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()

    def as_actor(self, *, at: datetime | None = None) -> Actor:
        """This person with the roles that hold now. One query."""
        held = list(self.role_grants.in_force(at or timezone.now()).values_list("role", "instrument_id"))
        return Actor(
            user_id=self.pk,
            name=self.name,
            roles=frozenset(Role(role) for role, _ in held),
            instruments=frozenset(i for role, i in held if role == Role.INSTRUMENT_SCIENTIST and i is not None),
        )


class RoleGrantQuerySet(models.QuerySet["RoleGrant"]):
    def in_force(self, at: datetime) -> "RoleGrantQuerySet":
        return self.filter(Q(until=None) | Q(until__gt=at), since__lte=at)


class RoleGrant(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=32, choices=[(role.value, role.label) for role in Role])
    instrument = models.ForeignKey("Instrument", models.CASCADE, null=True, blank=True)
    because = models.CharField(max_length=200)
    source = models.CharField(max_length=64, help_text="The catalogue, the claim or the person that gave it.")
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True)

    objects = RoleGrantQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "role", "instrument", "source"], name="role_once_per_source", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} for {self.user_id}"
