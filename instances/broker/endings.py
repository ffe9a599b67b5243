"""Why a seat ends, as WebSocket close codes that the pages know. Pure."""

from typing import NamedTuple

VIOLATION = 1008
INTERNAL = 1011
GOING_AWAY = 1012
TICKET = 4001
REVOKED = 4003
NOT_RUNNING = 4004


class Ending(NamedTuple):
    """`reason` is a sentence for the person who sits there."""

    code: int
    reason: str

    @property
    def on_the_wire(self) -> str:
        """The reason cut to the 123 bytes that a close frame has room for."""
        return self.reason.encode()[:123].decode(errors="ignore")


LEFT = Ending(1000, "left")
CHANGED = Ending(GOING_AWAY, "What may be copied has changed. Reconnect.")
LOST = Ending(GOING_AWAY, "The connection was lost. Reconnect.")
GONE = Ending(NOT_RUNNING, "The instance is not running.")
REFUSED = Ending(TICKET, "This ticket is not valid. Open the instance from the portal.")
BROKEN = Ending(INTERNAL, "Something went wrong on our side.")
