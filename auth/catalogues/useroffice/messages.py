"""From a message to the state of one proposal, or the reason why it cannot be believed. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

DELETED = "PROPOSAL_DELETED"
EVENTS = frozenset(
    {
        "PROPOSAL_CREATED",
        "PROPOSAL_UPDATED",
        "PROPOSAL_SUBMITTED",
        "PROPOSAL_ACCEPTED",
        "PROPOSAL_STATUS_ACTION_EXECUTED",
        "PROPOSAL_STATUS_CHANGED_BY_WORKFLOW",
        "PROPOSAL_STATUS_CHANGED_BY_USER",
        DELETED,
    }
)
"""Those that carry a proposal's state. The exchange carries other things too, which concern the portal nothing."""
LARGEST = 4 * 2**20
"""Bytes of one message."""
AHEAD = timedelta(minutes=10)
"""By how much the sender's clock may be fast: a message from far in the future would make all later ones look old."""
_SECONDS_END = 10**11
"""AMQP's timestamps are in seconds, User Office's in milliseconds; below this they are seconds."""
_LISTS = ("members", "dataAccessUsers", "visitors")


class Unreadable(Exception):
    """The message breaks the contract. Its text says how, and repeats nothing secret."""


@dataclass(frozen=True, slots=True)
class Someone:
    id: str
    """User Office's own; for messages to people only."""
    iss: str
    sub: str
    """Both empty when User Office has not seen them sign in."""
    name: str
    email: str
    affiliation: str


@dataclass(frozen=True, slots=True)
class ProposalState:
    """All that User Office says of one proposal at one moment."""

    number: int
    """`proposalPk`: stays the same while the code may change."""
    code: str
    title: str
    abstract: str
    status: str
    deleted: bool
    instruments: tuple[str, ...]
    people: tuple[tuple[str, Someone], ...]
    """With where they stand: `proposer`, `members`, `dataAccessUsers`, `visitors`."""
    at: datetime
    """When it was sent, by the sender's clock."""


def read(event: str, timestamp: int | None, body: bytes, *, now: datetime) -> ProposalState | None:
    """None when it says nothing about the state of a proposal. Unreadable when it ought to, and cannot be read."""
    if event not in EVENTS:
        return None
    if len(body) > LARGEST:
        raise Unreadable(f"the message is larger than {LARGEST} bytes")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the message is no JSON") from None
    if not isinstance(said, dict):
        raise Unreadable("the message is no object")
    people = [("proposer", _someone(said["proposer"], "proposer"))] if said.get("proposer") is not None else []
    for where in _LISTS:
        entries = _list(said, where, needed=where == "members")
        people += [(where, _someone(entry, f"{where}, number {n}")) for n, entry in enumerate(entries, 1)]
    deleted = event == DELETED
    return ProposalState(
        number=_number(said),
        code=_text(said, "shortCode"),
        title=_text(said, "title", needed=False),
        abstract=_text(said, "abstract", needed=False),
        status=_text(said, "newStatus", needed=not deleted),
        deleted=deleted,
        instruments=_instruments(said),
        people=tuple(people),
        at=_moment(timestamp, now),
    )


def _number(said: Mapping[str, Any]) -> int:
    number = said.get("proposalPk")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**63:
        raise Unreadable("proposalPk must be a number")
    return number


def _text(said: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
    value = said.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value.strip()):
        raise Unreadable(f"{name} must be text")
    return value.strip()


def _list(said: Mapping[str, Any], name: str, *, needed: bool = False) -> list[Any]:
    value = said.get(name)
    if value is None and not needed:
        return []
    if not isinstance(value, list):
        raise Unreadable(f"{name} must be a list")
    return value


def _instruments(said: Mapping[str, Any]) -> tuple[str, ...]:
    """User Office leaves them out altogether as long as there are none."""
    found = []
    for number, entry in enumerate(_list(said, "instruments"), 1):
        if not isinstance(entry, dict):
            raise Unreadable(f"instruments, number {number}: must be an object")
        found.append(_text(entry, "shortCode"))
    return tuple(dict.fromkeys(found))


def _someone(said: Any, where: str) -> Someone:
    if not isinstance(said, dict):
        raise Unreadable(f"{where}: must be an object")
    for name in ("oidcSub", "oauthIssuer"):
        if name not in said:
            # Null says that they have not signed in yet; that nothing is said at all is another contract.
            raise Unreadable(f"{where}: there is no {name}")
    try:
        institution = said.get("institution")
        return Someone(
            id=str(said.get("id", ""))[:100],
            iss=_text(said, "oauthIssuer", needed=False),
            sub=_text(said, "oidcSub", needed=False),
            name=f"{_text(said, 'firstName', needed=False)} {_text(said, 'lastName', needed=False)}",
            email=_text(said, "email", needed=False),
            affiliation=_text(institution, "name", needed=False) if isinstance(institution, dict) else "",
        )
    except Unreadable as error:
        raise Unreadable(f"{where}: {error}") from None


def _moment(timestamp: int | None, now: datetime) -> datetime:
    if timestamp is None or timestamp <= 0:
        raise Unreadable("the message has no timestamp: nobody can say what is newer")
    milliseconds = timestamp * 1000 if timestamp < _SECONDS_END else timestamp
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise Unreadable("the message's timestamp is no time") from None
    if at > now + AHEAD:
        raise Unreadable(f"the message is from the future: {at:%Y-%m-%d %H:%M:%S} UTC")
    return at
