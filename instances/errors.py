"""Everything that can go wrong with an instance, as exceptions that carry a sentence for the person who asked.

    InstanceError
     ├── Denied              policy says no; `decision.because` is the reason
     ├── NotFound            there is no such thing, or the asker may not know of it
     ├── Invalid             the request makes no sense; `fields` maps a field to its sentence
     ├── Conflict            the instance is not in a state for this
     │    ├── StaleInstance       another worker moved it first
     │    └── IllegalTransition   `states.TRANSITIONS` has no such edge
     └── TicketRefused       used, expired, foreign or unknown: the bearer is told no more than that

`ProviderError` is apart: it never reaches a person as it is; its `retry` says whether trying again makes sense.
"""

from collections.abc import Mapping

from auth.access import Decision


class InstanceError(Exception):
    """`str()` of it is a sentence that may be shown to whoever asked."""


class Denied(InstanceError):
    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.because)
        self.decision = decision


class NotFound(InstanceError):
    pass


class Invalid(InstanceError):
    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


class Conflict(InstanceError):
    pass


class StaleInstance(Conflict):
    pass


class IllegalTransition(Conflict):
    pass


class TicketRefused(InstanceError):
    pass


class ProviderError(Exception):
    """A cloud did not do what it was asked. `retry`: it may work later; `reason`: a sentence for the owner."""

    def __init__(self, reason: str, *, retry: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry
