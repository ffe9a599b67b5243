"""Changing what an instance is called and what is noted about it."""

from uuid import UUID

from django.db import transaction

from auth import audit
from auth.models import User
from instances.errors import Invalid
from instances.models import Instance
from instances.policy import Action

from .launch import NAME_LENGTH, NOTES_LENGTH
from .transitions import tell
from .visibility import find


def describe(
    instance_id: UUID | str, *, acting_user: User, name: str | None = None, notes: str | None = None
) -> Instance:
    """Set `name`, `notes` or both; None leaves one as it is. Invalid names the field that does not fit."""
    actor = acting_user.as_actor()
    with transaction.atomic():
        instance = find(instance_id, actor=actor, action=Action.RENAME, lock=True)
        before = {"name": instance.name, "notes": instance.notes}
        instance.name = before["name"] if name is None else name.strip()
        instance.notes = before["notes"] if notes is None else notes.strip()
        wrong = {}
        if not 0 < len(instance.name) <= NAME_LENGTH:
            wrong["name"] = f"A name has 1 to {NAME_LENGTH} characters."
        if len(instance.notes) > NOTES_LENGTH:
            wrong["notes"] = f"Notes have at most {NOTES_LENGTH} characters."
        if wrong:
            raise Invalid(wrong)
        instance.save(update_fields=["name", "notes"])
        tell(instance)
        after = {"name": instance.name, "notes": instance.notes}
        audit.record(
            "instance.describe",
            f"instance:{instance.pk}",
            actor=actor,
            detail={"before": before, "after": after},
        )
    return instance
