from .catalogue import Cloud, Environment, Flavour, FlavourOffer
from .connection import Connection, Ticket
from .guest import Boot, Guest
from .instance import Instance, InstanceEvent
from .mail import Mail
from .quota import Quota
from .stray import Stray

__all__ = [
    "Boot",
    "Cloud",
    "Connection",
    "Environment",
    "Flavour",
    "FlavourOffer",
    "Guest",
    "Instance",
    "InstanceEvent",
    "Mail",
    "Quota",
    "Stray",
    "Ticket",
]
