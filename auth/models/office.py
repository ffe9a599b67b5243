"""What is remembered of a User Office's messages, so that an old one never undoes a newer one."""

from typing import ClassVar

from django.db import models


class OfficeProposal(models.Model):
    """A proposal of some User Office, as the newest message that was acted upon left it."""

    catalogue = models.CharField(max_length=64, help_text="Its name in the configuration.")
    number = models.PositiveBigIntegerField(help_text="User Office's own key, which stays when the code changes.")
    code = models.SlugField(max_length=32)
    at = models.DateTimeField(help_text="When the newest message was sent, by its sender's clock.")
    since = models.DateTimeField(null=True, blank=True, help_text="When it first gave access; empty: not yet.")
    deleted = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["catalogue", "number"], name="office_proposal_once"),
            models.UniqueConstraint(
                fields=["catalogue", "code"], name="office_code_once", condition=models.Q(deleted=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.catalogue}"
