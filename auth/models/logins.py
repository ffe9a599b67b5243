"""Which session came from which login at the identity provider, so that the provider can end it."""

from typing import ClassVar

from django.contrib.sessions.models import Session
from django.db import models
from django.utils import timezone


class Login(models.Model):
    """The login that a session began with. It goes when the session goes."""

    session = models.OneToOneField(Session, models.CASCADE, primary_key=True, related_name="login")
    user = models.ForeignKey("User", models.CASCADE, related_name="logins", help_text="Whose session it is.")
    identity = models.ForeignKey(
        "User", models.CASCADE, related_name="own_logins", help_text="The identity of theirs that was used."
    )
    iss = models.CharField(max_length=255)
    sub = models.CharField(max_length=255)
    sid = models.CharField(max_length=255, blank=True, help_text="The provider's own session; empty: it did not say.")
    begun = models.DateTimeField(default=timezone.now)
    agent = models.CharField(max_length=300, blank=True, help_text="What the browser calls itself.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["iss", "sub"], name="login_subject"),
            models.Index(fields=["iss", "sid"], name="login_sid"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} through {self.iss}"


class SpentLogout(models.Model):
    """A logout token that was acted upon, remembered until it would be too old to be taken anyway."""

    iss = models.CharField(max_length=255)
    jti = models.CharField(max_length=255)
    until = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["iss", "jti"], name="logout_once")]

    def __str__(self) -> str:
        return self.jti
