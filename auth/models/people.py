"""People, keyed by (iss, sub) and by nothing else, and the roles they were given."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from auth import unix
from auth.access import Actor, Role, RoleHeld
from auth.data import Part

from .beamtime import Participation


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username=username)


class User(AbstractBaseUser):
    """An identity that a provider vouches for, and the account that came with it. There are no passwords here.

    Somebody with several identities has a row for each. `linked_to` says which of them is their account: nothing
    moves when identities are linked, so nothing is lost when they are unlinked.
    """

    iss = models.CharField(max_length=255)
    sub = models.CharField(max_length=255)
    linked_to = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="others", help_text="Signing in opens that account."
    )
    username = models.CharField(max_length=32, unique=True, help_text="Unix login inside instances; never a key.")
    uid = models.PositiveBigIntegerField(unique=True, editable=False, help_text="Unix uid inside instances.")
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    affiliation = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    preferences = models.JSONField(default=dict, blank=True)
    joined = models.DateTimeField(default=timezone.now)
    linked_at = models.DateTimeField(null=True, blank=True)
    proven_at = models.DateTimeField(null=True, blank=True, help_text="The last login through this very identity.")

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["iss", "sub", "name"]
    objects = UserManager()
    seen_as: Actor | None = None
    """The last answer of `as_actor`, for what is only shown: decisions ask anew."""

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["iss", "sub"], name="user_identity")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.uid is None:
            self.uid = unix.free_uids(1)[0]
        super().save(*args, **kwargs)

    @property
    def person(self) -> "User":
        """The account that signing in with this identity opens: this one, unless it is linked to another."""
        return self.linked_to or self

    @property
    def initials(self) -> str:
        words = [word for word in self.name.split() if word]
        return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()

    def as_actor(self, *, at: datetime | None = None) -> Actor:
        """This person, through whichever identity, with the roles that hold now. Three queries."""
        person = self.linked_to_id or self.pk
        identities = dict(User.objects.filter(Q(pk=person) | Q(linked_to=person)).values_list("pk", "is_active"))
        accounts = set(identities)
        grants = RoleGrant.objects.in_force(at or timezone.now()).filter(user__in=accounts).order_by("pk")
        held = tuple(grant.as_held() for grant in grants)
        parts = Participation.objects.filter(user__in=accounts, part=Part.LOCAL_CONTACT)
        self.seen_as = Actor(
            user_id=self.pk,
            name=self.name,
            roles=frozenset(grant.role for grant in held),
            instruments=_named(held, Role.INSTRUMENT_SCIENTIST, "instrument"),
            experiments=_named(held, Role.LOCAL_CONTACT, "experiment"),
            linked=frozenset(accounts - {self.pk}),
            contact_of=frozenset(parts.values_list("experiment_id", flat=True)),
            controls=_named(held, Role.INSTRUMENT_CONTROL, "instrument"),
            held=held,
            active=all(identities.values()),
        )
        return self.seen_as


def _named(held: tuple[RoleHeld, ...], role: Role, what: str) -> frozenset[int]:
    """The instruments or experiments for which the role was given. One that names none covers none."""
    return frozenset(found for grant in held if grant.role is role and (found := getattr(grant, what)) is not None)


class RoleGrantQuerySet(models.QuerySet["RoleGrant"]):
    def in_force(self, at: datetime) -> "RoleGrantQuerySet":
        return self.filter(Q(until=None) | Q(until__gt=at), since__lte=at)


class RoleGrant(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=32, choices=[(role.value, role.label) for role in Role])
    instrument = models.ForeignKey("Instrument", models.CASCADE, null=True, blank=True)
    experiment = models.ForeignKey("Experiment", models.CASCADE, null=True, blank=True, related_name="role_grants")
    because = models.CharField(max_length=200)
    source = models.CharField(
        max_length=64, help_text="catalogue:<name>, claim:<issuer's host> or person:<id>: what gave it, and may end it."
    )
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True)
    ended = models.DateTimeField(null=True, blank=True, help_text="When the portal acted upon its end.")

    objects = RoleGrantQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "role", "instrument", "experiment", "source"],
                name="role_once_per_source",
                condition=Q(ended=None),
                nulls_distinct=False,
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["until"], name="role_to_end", condition=Q(ended=None, until__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.role} for {self.user_id}"

    def as_held(self) -> RoleHeld:
        return RoleHeld(
            role=Role(self.role),
            account=self.user_id,
            source=self.source,
            because=self.because,
            since=self.since,
            until=self.until,
            instrument=self.instrument_id,
            experiment=self.experiment_id,
        )
