"""Which instances somebody may know of: the queryset twin of `policy.may(…, Action.SEE, …)`."""

from uuid import UUID

from django.db.models import QuerySet

from auth.access import Actor, Role
from instances.errors import Denied, NotFound
from instances.models import Instance
from instances.policy import OVERSEERS, Action, InstanceFacts, may
from instances.states import State


def visible_to(actor: Actor) -> QuerySet[Instance]:
    """Every instance, deleted ones included, that `actor` may see."""
    if actor.has(*OVERSEERS, Role.AUDITOR):
        return Instance.objects.all()
    return Instance.objects.filter(owner__in=actor.accounts)


def facts(instance: Instance) -> InstanceFacts:
    return InstanceFacts(
        id=str(instance.pk), owner_id=instance.owner_id, state=State(instance.state), withheld=instance.withheld
    )


def find(instance_id: UUID | str, *, actor: Actor, action: Action, lock: bool = False) -> Instance:
    """The instance, for `action`. What `actor` may not see does not exist: NotFound, whatever the action.

    With `lock` the row stays locked until the caller's transaction ends.
    """
    rows = visible_to(actor).select_related("owner", "environment", "flavour", "cloud")
    try:
        instance = (rows.select_for_update(of=("self",)) if lock else rows).get(pk=_uuid(instance_id))
    except Instance.DoesNotExist:
        raise NotFound("There is no such instance.") from None
    decision = may(actor, action, facts(instance))
    if not decision:
        raise Denied(decision)
    return instance


def _uuid(value: UUID | str) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError:
        raise NotFound("There is no such instance.") from None
