"""What a User Office and its broker are to the portal: a JSON file, checked as a whole before anything starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from auth.catalogues import cells, config
from auth.catalogues.base import CatalogueError
from auth.catalogues.config import Rules
from auth.data import Part

FOLDER = "visitor/{proposal}/{instrument}"
"""Without a date: User Office's messages do not say when there is beam time."""
EXCHANGE = "user_office_backend.fanout"
PARTS: Mapping[str, Part | None] = {
    "proposer": Part.PRINCIPAL_INVESTIGATOR,
    "members": Part.PARTICIPANT,
    "dataAccessUsers": Part.PARTICIPANT,
    "visitors": None,
}
"""Whom a message names; by default a visit to the facility opens no data."""
ANY = "*"
LONGEST_DAYS = 3660


class Meaning(StrEnum):
    """Of a status of a proposal."""

    ACCESS = "access"
    CLOSED = "closed"
    """Known from before, and nobody's any more."""
    NONE = "none"
    """As if there were no such proposal: not yet, or no longer."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    virtual_host: str
    tls: bool


@dataclass(frozen=True, slots=True)
class Config:
    broker: Address
    ca: Path | None
    """Who vouches for the broker's certificate, if the machine's own list does not."""
    exchange: str
    queue: str
    issuers: frozenset[str]
    """Identity providers whose subjects the portal meets at sign-in as well."""
    statuses: Mapping[str, Meaning]
    parts: Mapping[str, Part | None]
    days: int
    """From the day on which a proposal first gives access: how long its experiments last."""
    rules: Rules

    def meaning(self, status: str) -> Meaning | None:
        """None: the configuration does not say."""
        return self.statuses.get(status, self.statuses.get(ANY))


def load(file: Path) -> Config:
    """CatalogueError with every mistake."""
    document = config.load(file)
    ca = document.take("ca", config.of(cells.text(1000)), "")
    folder = document.take("folder", config.of(cells.folder), FOLDER) or FOLDER
    found = Config(
        broker=document.take("url", address),
        ca=file.parent / ca if ca else None,
        exchange=document.take("exchange", config.of(name), EXCHANGE),
        queue=document.take("queue", config.of(name)),
        issuers=document.take("issuers", issuers),
        statuses=document.take("statuses", statuses),
        parts=document.take("parts", parts, PARTS),
        days=document.take("days", days, 365),
        rules=Rules(
            url="",
            page_size=1,
            separator=document.take("separator", config.separator, "-"),
            proprietary=document.take("proprietary", config.beginnings),
            folder=folder,
            instruments=config.instruments(document.part("instruments"), folder),
        ),
    )
    if not found.rules.instruments:
        document.problems.append(f"{document.where}: instruments must name at least one, as User Office does")
    if found.ca and not found.ca.is_file():
        document.problems.append(f"{document.where}: ca is no file: {ca}")
    document.close()
    if document.problems:
        raise CatalogueError(document.problems)
    return found


def address(value: Any) -> Address:
    """A password travels there: under TLS, or not beyond this machine."""
    said = urlsplit(value if isinstance(value, str) else "")
    try:
        port = said.port
    except ValueError:
        raise ValueError("has a port that is none") from None
    local = said.scheme == "amqp" and said.hostname in ("localhost", "127.0.0.1", "::1")
    if not said.hostname or not (local or said.scheme == "amqps"):
        raise ValueError("must be an amqps address, or one on this machine")
    if said.username or said.password or said.query or said.fragment or "/" in said.path[1:]:
        raise ValueError("must be a bare address, such as amqps://broker.example.org/office: no account, no options")
    tls = said.scheme == "amqps"
    return Address(said.hostname, port or (5671 if tls else 5672), unquote(said.path[1:]) or "/", tls)


def name(value: str) -> str:
    """Of an exchange or queue; those that begin with `amq.` are the broker's."""
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", value) or value.startswith("amq."):
        raise ValueError("must be letters, digits and _ . : - and must not begin with amq.")
    return value


def issuers(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError("must be a list of the identity providers whose subjects are believed")
    return frozenset(cells.issuer(v) for v in value)


def statuses(value: Any) -> dict[str, Meaning]:
    meanings = list(Meaning)
    if not isinstance(value, dict) or not value:
        raise ValueError("must say which status of a proposal means what")
    if wrong := [status for status, meaning in value.items() if meaning not in meanings]:
        raise ValueError(f"gives {', '.join(wrong)} a meaning that is none of {', '.join(meanings)}")
    if Meaning.ACCESS not in value.values():
        raise ValueError("gives no status the meaning access: nobody would ever see anything")
    if value.get(ANY) == Meaning.ACCESS:
        raise ValueError(f'must not give access to "{ANY}", statuses that nobody has thought of')
    return {status: Meaning(meaning) for status, meaning in value.items()}


def parts(value: Any) -> dict[str, Part | None]:
    known, which = ", ".join(Part), ", ".join(PARTS)
    if not isinstance(value, dict) or not value.keys() <= PARTS.keys():
        raise ValueError(f"must say which of {which} is which part")
    if wrong := [said for said, part in value.items() if part is not None and part not in list(Part)]:
        raise ValueError(f"gives {', '.join(wrong)} a part that is none of {known}")
    return {**PARTS, **{said: part and Part(part) for said, part in value.items()}}


def days(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LONGEST_DAYS:
        raise ValueError(f"must be a number from 1 to {LONGEST_DAYS}")
    return value
