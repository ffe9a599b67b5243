"""What may be copied between a visitor's computer and a desktop: the strictest of the proposals whose data is in it."""

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from auth import audit, bus
from auth.models import Proposal, User
from auth.models.beamtime import Clipboard as Ways
from instances.errors import Invalid, NotFound
from instances.models import Instance
from instances.states import OPEN

from .roles import as_administrator
from .visibility import experiments_of

CHOICES = ("", *Ways.values)


@dataclass(frozen=True, slots=True)
class Clipboard:
    inwards: bool = True
    outwards: bool = True


def allowed_in(instance: Instance) -> Clipboard:
    """Both ways must be allowed by every proposal of its experiments, and by the site where one says nothing."""
    said = {e.proposal.clipboard or settings.CLIPBOARD for e in experiments_of(instance)} or {settings.CLIPBOARD}
    return Clipboard(
        inwards=said <= {Ways.BOTH, Ways.IN},
        outwards=said <= {Ways.BOTH, Ways.OUT},
    )


def set_clipboard(proposal_id: int, *, acting_user: User, allowed: str) -> Proposal:
    """Desktops that are open with its data reconnect by themselves, and hold to it. Only administrators may."""
    if allowed not in CHOICES:
        raise Invalid({"clipboard": "Both ways, in, out, none, or as everywhere."})
    with transaction.atomic():
        actor = as_administrator(acting_user)
        proposal = Proposal.objects.select_for_update(no_key=True).filter(pk=proposal_id).first()
        if proposal is None:
            raise NotFound("There is no such proposal.")
        before = proposal.clipboard
        if before != allowed:
            proposal.clipboard = allowed
            proposal.save(update_fields=["clipboard"])
            affected = Instance.objects.filter(experiments__proposal=proposal, state__in=OPEN).distinct()
            for key in affected.values_list("pk", flat=True):
                bus.announce("rejoin", instance=str(key))
            detail = {"before": before, "after": allowed}
            audit.record("proposal.clipboard", f"proposal:{proposal.pk}", actor=actor, detail=detail)
    return proposal
