"""A User Office's messages, as `getProposalMessageData` of user-office-core makes them, and a configuration."""

import json
from pathlib import Path
from typing import Any

from auth.catalogues.useroffice import config
from auth.catalogues.useroffice.broker import Office
from auth.catalogues.wire import Account

from .rabbit import PASSWORD, USER

ISS = "https://login.example.org/realms/office"
SOURCE = "office"


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


def office(folder: Path, port: int, **changes: Any) -> Office:
    return Office(SOURCE, load(folder, settings(port, **changes)), Account(USER, PASSWORD))
