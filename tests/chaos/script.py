"""Who does what and when, and what breaks when: all of it follows from the seed. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faulty.faults import Fault, Storm

LAUNCHES = 200
DURATION = 28.0
"""Seconds in which people act."""
WORKERS = 3
SHARES = {
    Fault.SLOW: 0.03,
    Fault.BEFORE: 0.04,
    Fault.AFTER: 0.05,
    Fault.LOST: 0.04,
    Fault.HANG: 0.02,
    Fault.LATE: 0.08,
    Fault.TWICE: 0.06,
    Fault.ABSENT: 0.04,
    Fault.PARTIAL: 0.10,
}


class Deed(StrEnum):
    LAUNCH = "launch"
    STOP = "stop"
    START = "start"
    RESTART = "restart"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Story:
    """One instance: its owner (by number), and what the owner asks for, with the second at which it is time."""

    name: str
    owner: int
    deeds: list[tuple[float, Deed]]


@dataclass(frozen=True, slots=True)
class Script:
    stories: list[Story]
    kills: Iterator[tuple[int, int]]
    """After how many calls to the cloud which worker gets its -9, without end: so it dies at work."""
    storms: list[tuple[float, float, Storm]]
    """From when to when everything is so."""
    crash: tuple[float, float]
    """From when to when there is no database."""
    shares: dict[Fault, float] = field(default_factory=lambda: dict(SHARES))


def script(seed: int, people: int) -> Script:
    dice = random.Random(seed)
    stories = [Story(f"chaos {n}", dice.randrange(people), _deeds(dice)) for n in range(LAUNCHES)]
    begin = dice.uniform(8, 16)
    kinds = dice.sample([storm for storm in Storm if storm], 2)
    storms = [(at, at + dice.uniform(2, 4), kind) for at, kind in zip((dice.uniform(4, 10), 20.0), kinds, strict=True)]
    return Script(stories, _kills(seed), storms, (begin, begin + dice.uniform(0.5, 2)))


def _kills(seed: int) -> Iterator[tuple[int, int]]:
    dice = random.Random(f"{seed}: kills")
    while True:
        yield dice.randint(20, 90), dice.randrange(WORKERS)


def _deeds(dice: random.Random) -> list[tuple[float, Deed]]:
    """Three of five instances are deleted in the end; of all, some are stopped, started or restarted before."""
    at = dice.uniform(0, 0.7 * DURATION)
    deeds = [(at, Deed.LAUNCH)]
    for deed in dice.choice([[], [], [], [Deed.STOP], [Deed.STOP, Deed.START], [Deed.RESTART]]):
        at += dice.uniform(0.5, 6)
        deeds.append((at, deed))
    if dice.random() < 0.6:
        deeds.append((at + dice.uniform(0.1, 8), Deed.DELETE))
    return deeds
