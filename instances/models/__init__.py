from .access_request import AccessRequest
from .catalogue import Cloud, Environment, Flavour, FlavourOffer
from .connection import Connection, Ticket
from .console import Console
from .guest import Boot, Guest
from .instance import Instance, InstanceEvent
from .invitation import Invitation
from .lifetime import ExtensionRequest, LifetimeRule, Load
from .mail import Mail
from .member import Member
from .quota import Quota
from .stray import Stray

__all__ = [
    "AccessRequest",
    "Boot",
    "Cloud",
    "Connection",
    "Console",
    "Environment",
    "ExtensionRequest",
    "Flavour",
    "FlavourOffer",
    "Guest",
    "Instance",
    "InstanceEvent",
    "Invitation",
    "LifetimeRule",
    "Load",
    "Mail",
    "Member",
    "Quota",
    "Stray",
    "Ticket",
]
