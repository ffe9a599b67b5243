from .audit import AuditEvent
from .beamtime import Experiment, Instrument, Participation, Proposal
from .people import RoleGrant, User
from .tokens import ApiToken

__all__ = [
    "ApiToken",
    "AuditEvent",
    "Experiment",
    "Instrument",
    "Participation",
    "Proposal",
    "RoleGrant",
    "User",
]
