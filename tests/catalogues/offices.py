"""A User Office's messages, as `getProposalMessageData` of user-office-core makes them, and a configuration."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auth.catalogues.useroffice import broker, config
from auth.catalogues.useroffice.broker import Office
from auth.catalogues.useroffice.consume import consume
from auth.catalogues.wire import Account
from auth.models import Participation

from .rabbit import PASSWORD, USER

ISS = "https://login.example.org/realms/office"
SOURCE = "office"
QUEUE, DEAD = "visa.portal", "DL__visa.portal"
ACCOUNT = Account(USER, PASSWORD)


def person(who: str, **changes: Any) -> dict[str, Any]:
    return {
        "firstName": who.title(),
        "lastName": "Example",
        "email": f"{who}@example.org",
        "id": str(sum(who.encode())),
        "oidcSub": who,
        "oauthIssuer": ISS,
        "institution": {"id": 1, "name": "Institute of Examples", "country": 2, "rorId": "https://ror.org/01"},
        "country": {"countryId": 2, "country": "Sweden"},
    } | changes


def proposal(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "proposalPk": number,
        "shortCode": f"{100000 + number}",
        "instruments": [{"id": 1, "shortCode": "LOKI", "allocatedTime": 259200}],
        "title": f"What {number} is about, é and ☃",
        "abstract": "Small angles.",
        "callId": 7,
        "members": [person("bob")],
        "dataAccessUsers": [],
        "visitors": [],
        "newStatus": "ALLOCATED",
        "submitted": True,
        "proposer": person("ann"),
    } | changes


def settings(port: int = 5672, **changes: Any) -> dict[str, Any]:
    return {
        "url": f"amqp://127.0.0.1:{port}",
        "queue": "visa.portal",
        "issuers": [ISS],
        "statuses": {"DRAFT": "none", "ALLOCATED": "access", "SCHEDULING": "access", "EXPIRED": "closed"},
        "instruments": {"LOKI": {"code": "loki", "name": "LoKI"}, "ODIN": {"code": "odin", "name": "ODIN"}},
        "proprietary": ["9"],
    } | changes


def load(folder: Path, values: dict[str, Any]) -> config.Config:
    file = folder / "office.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    return config.load(file)


def office(folder: Path, port: int, *, account: Account = ACCOUNT, **changes: Any) -> Office:
    return Office(SOURCE, load(folder, settings(port, **changes)), account)


def catalogues(folder: Path, port: int, **changes: Any) -> dict[str, str]:
    """What a worker needs in its environment to know this User Office."""
    load(folder, settings(port, **changes))
    file = folder / "catalogues.json"
    file.write_text(json.dumps([{"name": SOURCE, "kind": "useroffice", "config": "office.json"}]), encoding="utf-8")
    return {
        "VISA_CATALOGUES": str(file),
        "VISA_CATALOGUE_OFFICE_USERNAME": USER,
        "VISA_CATALOGUE_OFFICE_PASSWORD": PASSWORD,
    }


@contextlib.contextmanager
def consuming(*offices: Office) -> Iterator[threading.Event]:
    """A consumer in a thread of its own for each, as the worker has it."""
    stop = threading.Event()
    threads = [threading.Thread(target=consume, args=(stop, one), daemon=True) for one in offices]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads), "a consumer does not end"


def until(true: Callable[[], Any], seconds: float = 15.0) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it does not come about"
        time.sleep(0.01)
    return time.monotonic() - began


def parts(code: str = "100001") -> set[tuple[str, str]]:
    rows = Participation.objects.filter(experiment__proposal__code=code)
    return set(rows.values_list("user__sub", "part"))


def both() -> set[tuple[str, str]]:
    return {("ann", "principal_investigator"), ("bob", "participant")}


def dead(portal: Office) -> list[str]:
    with broker.connected(portal, purpose="a test") as line:
        return [reason for _, reason in broker.dead_letters(line, portal)]
