from .audit import AuditEvent
from .beamtime import Experiment, Instrument, Participation, Proposal
from .catalogues import CataloguePage, CatalogueRun
from .logins import Login, SpentLogout
from .people import RoleGrant, User
from .tokens import ApiToken

__all__ = [
    "ApiToken",
    "AuditEvent",
    "CataloguePage",
    "CatalogueRun",
    "Experiment",
    "Instrument",
    "Login",
    "Participation",
    "Proposal",
    "RoleGrant",
    "SpentLogout",
    "User",
]
