"""The audit trail. PostgreSQL numbers, chains and protects the rows (see the migration): nobody can forget to."""

from typing import ClassVar

from django.db import models


class AuditEvent(models.Model):
    """One thing done or accessed. `digest` covers the row and the digest before it; rows never change."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.ForeignKey("User", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    actor_name = models.CharField(max_length=200)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=100, help_text="kind:id")
    because = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    previous = models.BinaryField()
    digest = models.BinaryField()

    class Meta:
        ordering: ClassVar = ["seq"]
        indexes: ClassVar = [
            models.Index(fields=["target", "seq"]),
            models.Index(fields=["actor", "seq"]),
            models.Index(fields=["action", "seq"], name="audit_action"),
            models.Index(fields=["at", "seq"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action} {self.target}"
