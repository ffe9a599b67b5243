from .catalogue import Cloud, Environment, Flavour, FlavourOffer
from .connection import Connection, Ticket
from .instance import Instance, InstanceEvent

__all__ = ["Cloud", "Connection", "Environment", "Flavour", "FlavourOffer", "Instance", "InstanceEvent", "Ticket"]
