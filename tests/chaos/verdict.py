"""What must be true when everything has calmed down. Each complaint is a sentence that begins with the instance."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from auth import audit
from instances.models import Instance, InstanceEvent, Stray
from instances.states import TRANSITIONS, Desired, State

Servers = list[dict[str, Any]]
STATES = {Desired.RUNNING: State.READY, Desired.STOPPED: State.STOPPED, Desired.DELETED: State.DELETED}
STATUSES = {Desired.RUNNING: ["running"], Desired.STOPPED: ["stopped"], Desired.DELETED: []}


def complaints(wishes: dict[str, Desired], servers: Servers) -> list[str]:
    """Nothing, when what people were promised is what the rows say and what the cloud has."""
    rows = list(Instance.objects.order_by("created"))
    return [*_lost(wishes, rows), *_apart(wishes, rows, servers), *_broken_chains(rows)]


def _lost(wishes: dict[str, Desired], rows: list[Instance]) -> Iterator[str]:
    names = [row.name for row in rows]
    yield from (f"{name}: was accepted and has no row" for name in wishes if name not in names)
    yield from (f"{name}: has {names.count(name)} rows" for name in wishes if names.count(name) > 1)


def _apart(wishes: dict[str, Desired], rows: list[Instance], servers: Servers) -> Iterator[str]:
    held: dict[str, Servers] = defaultdict(list)
    for server in servers:
        held[server["instance"]].append(server)
    for row in rows:
        mine = held.pop(row.key, [])
        wish = wishes.get(row.name, Desired(row.desired))
        if row.desired != wish:
            yield f"{row.name}: its owner wants {wish}, the row says {row.desired} ({row.message})"
        if row.state != STATES[wish]:
            yield f"{row.name}: is {row.state} and should be {STATES[wish]} ({row.message})"
        if (found := [server["status"] for server in mine]) != STATUSES[wish] and not _was_never_made(wish, mine):
            yield f"{row.name}: should be {STATES[wish]}, its cloud has {found}"
        if wish is Desired.RUNNING and any(server["generation"] != row.generation for server in mine):
            yield f"{row.name}: does not run generation {row.generation}"
        if row.lease is not None:
            yield f"{row.name}: some worker still holds it"
    yield from (f"{key}: an orphan in the cloud" for key in held)
    yield from (f"{stray.key}: still reported as {stray.kind}" for stray in Stray.objects.all())


def _was_never_made(wish: Desired, mine: Servers) -> bool:
    """What was stopped before it was started needs no server."""
    return wish is Desired.STOPPED and not mine


def _broken_chains(rows: list[Instance]) -> Iterator[str]:
    chains: dict[Any, list[InstanceEvent]] = defaultdict(list)
    for event in InstanceEvent.objects.exclude(after="").order_by("id"):
        chains[event.instance_id].append(event)
    for row in rows:
        at = State.QUEUED
        for event in chains[row.pk]:
            if event.before != at or event.after not in TRANSITIONS[at]:
                yield f"{row.name}: after {at} comes {event.before} → {event.after}"
            at = State(event.after)
        if at != row.state:
            yield f"{row.name}: its events end with {at}, it is {row.state}"
    if (broken := audit.first_broken_link()) is not None:
        yield f"the audit trail: broken at {broken}"
