from .catalogue import Cloud, Environment, Flavour, FlavourOffer
from .connection import Connection, Ticket
from .instance import Instance, InstanceEvent
from .mail import Mail
from .quota import Quota
from .stray import Stray

__all__ = [
    "Cloud",
    "Connection",
    "Environment",
    "Flavour",
    "FlavourOffer",
    "Instance",
    "InstanceEvent",
    "Mail",
    "Quota",
    "Stray",
    "Ticket",
]
