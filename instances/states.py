"""What an instance can be, as people see it, and what is wanted of it. Pure.

`Desired` is what somebody asked for. `Phase` is what a provider observes. `State` is what the portal shows: the
reconcile plan derives it from the other two.
"""

from enum import StrEnum


class Desired(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


class Phase(StrEnum):
    """One provider's answer about one instance. UNKNOWN is not an answer and never leads to a deletion."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        return self.value.capitalize()

    @property
    def settled(self) -> bool:
        """Nothing is under way: no step is due until somebody asks for something."""
        return self in {State.READY, State.STOPPED, State.DELETED, State.FAILED}


class Progress(StrEnum):
    """The steps of a launch, in the order in which the progress page lists them."""

    QUEUED = "queued"
    PLACING = "placing"
    CREATING = "creating"
    MOUNTING = "mounting"
    STARTING = "starting"
    READY = "ready"


OPEN = frozenset({State.READY, State.RESTARTING, State.UNKNOWN})
"""Somebody may be working in it. A cloud that is silent for a while is no reason to end that."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset(
        {State.STARTING, State.READY, State.STOPPED, State.FAILED, State.UNKNOWN, State.STOPPING, State.DELETING}
    ),
    State.STARTING: frozenset(
        {State.READY, State.FAILED, State.STOPPED, State.UNKNOWN, State.STOPPING, State.DELETING}
    ),
    State.READY: frozenset(
        {State.STARTING, State.RESTARTING, State.STOPPING, State.STOPPED, State.FAILED, State.UNKNOWN, State.DELETING}
    ),
    State.RESTARTING: frozenset(
        {State.READY, State.STOPPING, State.STOPPED, State.FAILED, State.UNKNOWN, State.DELETING}
    ),
    State.STOPPING: frozenset({State.STOPPED, State.QUEUED, State.FAILED, State.UNKNOWN, State.DELETING}),
    State.STOPPED: frozenset({State.QUEUED, State.STOPPING, State.FAILED, State.UNKNOWN, State.DELETING}),
    State.FAILED: frozenset({State.QUEUED, State.READY, State.STOPPING, State.STOPPED, State.UNKNOWN, State.DELETING}),
    State.UNKNOWN: frozenset(State) - {State.UNKNOWN},
    State.DELETING: frozenset({State.DELETED, State.UNKNOWN}),
    # What a cloud lists again after it had confirmed that it was gone.
    State.DELETED: frozenset({State.DELETING}),
}
