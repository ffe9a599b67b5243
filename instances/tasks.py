"""Where procrastinate looks for an app's jobs."""

from instances.mail import tasks as mail
from instances.reconcile import tasks as reconcile

__all__ = ["mail", "reconcile"]
