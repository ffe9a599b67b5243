"""Where procrastinate looks for an app's jobs."""

from instances.reconcile import tasks as tasks
