"""What can go wrong with one call to a cloud, and when it does: a function of the seed, the verb and the call's number.

So the same seed makes the same calls faulty; which instance a call is about depends on what the workers do meanwhile.
"""

import random
from collections import Counter
from enum import StrEnum


class Verb(StrEnum):
    CREATE = "create"
    FIND = "find"
    """The servers of one instance."""
    LIST = "list"
    """Those of a whole deployment."""
    REBUILD = "rebuild"
    STOP = "stop"
    DELETE = "delete"
    CAPACITY = "capacity"


class Fault(StrEnum):
    SLOW = "slow"
    BEFORE = "before"
    """An error, and nothing was done."""
    AFTER = "after"
    """An error, although it was done."""
    LOST = "lost"
    """Done, and the connection breaks instead of an answer."""
    HANG = "hang"
    """Not done, and no answer for longer than anybody waits."""
    LATE = "late"
    """No answer for longer than anybody waits; then it is done after all."""
    TWICE = "twice"
    """Done two times for one request."""
    ABSENT = "absent"
    """404, or an empty answer, about something that is there."""
    PARTIAL = "partial"
    """A list without a third of what is there."""


class Storm(StrEnum):
    """What goes wrong with every call, until it is over."""

    NONE = ""
    DOWN = "down"
    HANG = "hang"
    ABSENT = "absent"
    """404 for everything, and empty lists."""
    EMPTY = "empty"
    """Empty lists only."""


READING = {Fault.SLOW, Fault.BEFORE, Fault.LOST, Fault.HANG, Fault.ABSENT}
WRITING = {Fault.SLOW, Fault.BEFORE, Fault.AFTER, Fault.LOST, Fault.HANG, Fault.ABSENT}
POSSIBLE: dict[Verb, set[Fault]] = {
    Verb.CREATE: WRITING - {Fault.ABSENT} | {Fault.LATE, Fault.TWICE},
    Verb.FIND: READING,
    Verb.LIST: READING | {Fault.PARTIAL},
    Verb.REBUILD: WRITING,
    Verb.STOP: WRITING,
    Verb.DELETE: WRITING,
    Verb.CAPACITY: READING - {Fault.ABSENT},
}
DURING: dict[Storm, dict[Verb, Fault]] = {
    Storm.DOWN: dict.fromkeys(Verb, Fault.BEFORE),
    Storm.HANG: dict.fromkeys(Verb, Fault.HANG),
    Storm.ABSENT: {verb: Fault.ABSENT for verb in Verb if Fault.ABSENT in POSSIBLE[verb]},
    Storm.EMPTY: {Verb.LIST: Fault.ABSENT},
}


class Plan:
    """Which calls are faulty. `shares` says of each fault how much of the calls it befalls, 0 to 1."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.shares: dict[Fault, float] = {}
        self.storm = Storm.NONE
        self.calls: Counter[Verb] = Counter()
        self.faults: Counter[Fault] = Counter()

    def next(self, verb: Verb) -> Fault | None:
        """What goes wrong with the call that comes now."""
        self.calls[verb] += 1
        fault = DURING[self.storm].get(verb) if self.storm else self._drawn(verb)
        if fault:
            self.faults[fault] += 1
        return fault

    def _drawn(self, verb: Verb) -> Fault | None:
        drawn = random.Random(f"{self.seed}:{verb}:{self.calls[verb]}").random()
        for fault, share in sorted(self.shares.items()):
            if fault in POSSIBLE[verb]:
                if drawn < share:
                    return fault
                drawn -= share
        return None
