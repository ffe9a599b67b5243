"""The line for a place: whose turn it is, and who gets which. Pure.

People take turns: whoever got a place from the line waits for everybody who was in line by then. What somebody ahead
lacks is kept for them; whoever needs something else goes past. So nobody waits for ever.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from uuid import UUID

Amounts = Mapping[str, float]
"""By resource: CORES, MEMORY (in MB) and `gpu(model)`. Of what is not named nothing is needed, or nothing is there."""
CORES, MEMORY = "cores", "memory"
UNLIMITED = inf


def gpu(model: str) -> str:
    return f"gpu:{model}"


@dataclass(frozen=True, slots=True)
class Waiter:
    """An instance in line."""

    id: UUID
    person: int
    since: datetime
    need: Amounts
    clouds: tuple[int, ...]
    """Those that could run it if they had room, preferred ones first."""
    kind: str = ""
    """The GPU model that it waits for; empty: for cores and memory. Positions are counted among those of a kind."""

    def competes_with(self, other: "Waiter") -> bool:
        return self.kind == other.kind and not set(self.clouds).isdisjoint(other.clouds)


def in_turn(waiting: Iterable[Waiter], served: Mapping[int, datetime]) -> list[Waiter]:
    """The line, first of all the next. `served`: when a person last got a place from it.

    Round by round, one of each person; within a round whoever has waited longest since they came, or since they were
    last served, is first.
    """
    by_person: dict[int, list[Waiter]] = defaultdict(list)
    for waiter in waiting:
        by_person[waiter.person].append(waiter)
    keyed = []
    for person, theirs in by_person.items():
        last = served.get(person)
        for turn, waiter in enumerate(sorted(theirs, key=lambda w: (w.since, w.id))):
            keyed.append((turn, max(waiter.since, last) if last else waiter.since, waiter.id, waiter))
    return [waiter for *_, waiter in sorted(keyed, key=lambda entry: entry[:3])]


def assign(line: Sequence[Waiter], rooms: Mapping[int, Amounts]) -> dict[UUID, int]:
    """Who goes where now. `rooms`: what is free in each cloud that takes somebody.

    The first who lacks something in a cloud has all that it needs kept there: otherwise the memory would be gone when
    the GPU comes. Of those behind who lack the same nothing more is kept, lest a long line for one GPU block it all.
    """
    free = {cloud: dict(room) for cloud, room in rooms.items()}
    closed: dict[int, set[str]] = {cloud: set() for cloud in rooms}
    placed: dict[UUID, int] = {}
    for waiter in line:
        lacking = {
            cloud: lacks(waiter.need, free[cloud]) | closed[cloud].intersection(waiter.need)
            for cloud in waiter.clouds
            if cloud in free
        }
        place = next((cloud for cloud, missing in lacking.items() if not missing), None)
        if place is not None:
            placed[waiter.id] = place
            _take(free[place], waiter.need)
            continue
        for cloud, missing in lacking.items():
            if missing - closed[cloud]:
                _take(free[cloud], waiter.need)
                closed[cloud] |= missing
        if all(MEMORY in shut for shut in closed.values()):
            break  # and everybody needs memory
    return placed


def lacks(need: Amounts, free: Amounts) -> set[str]:
    return {resource for resource, wanted in need.items() if wanted > free.get(resource, 0)}


def expected(
    needs: Iterable[Amounts], free: Iterable[Amounts], endings: Iterable[tuple[datetime, Amounts]]
) -> datetime | None:
    """By when all `needs` together may have been met, if nothing ends before its time.

    None when nobody knows, and when there is room already. Clouds are taken for one: a guess where room is scattered.
    """
    wanted, there = _sum(needs), _sum(free)
    if not lacks(wanted, there):
        return None
    for at, freed in sorted(endings, key=lambda ending: ending[0]):
        for resource, amount in freed.items():
            there[resource] += amount
        if not lacks(wanted, there):
            return at
    return None


def _sum(several: Iterable[Amounts]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for amounts in several:
        for resource, amount in amounts.items():
            total[resource] += amount
    return total


def _take(room: dict[str, float], need: Amounts) -> None:
    for resource, amount in need.items():
        room[resource] = room.get(resource, 0) - amount
