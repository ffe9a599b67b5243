from .catalogue import Cloud, Environment, Flavour, FlavourOffer
from .connection import Connection, Ticket
from .instance import Instance, InstanceEvent
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
    "Quota",
    "Stray",
    "Ticket",
]
