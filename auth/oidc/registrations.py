"""The identity providers that the portal knows: that of VISA_OIDC_*, and further ones from the file VISA_OIDC_MORE."""

import json
import logging
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

log = logging.getLogger(__name__)
FIELDS = {"issuer", "client_id", "client_secret_env", "scope", "title", "sign_in", "sub_claim"}
SCOPE = "openid email profile"


class Invalid(ValueError):
    """What is wrong with the file: one sentence for each entry and field, in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Registration:
    """How the portal is known at a provider, and what for."""

    issuer: str
    client_id: str
    client_secret: str
    scope: str
    redirect_uri: str
    title: str = ""
    key: str = ""
    """Names it in the portal's own addresses; empty for the main one."""
    sign_in: bool = True
    """Otherwise its identities can only be linked to an account."""
    sub_claim: str = ""
    """The claim that says who somebody is, where that is not `sub`."""
    uid_claim: str = ""
    username_claim: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.issuer).netloc


def configured() -> tuple[Registration, ...]:
    """All of them, the main one first; it alone when the file of further ones is wrong, of which `check` tells."""
    try:
        return (*_main(), *further(settings.OIDC_MORE))
    except Invalid as error:
        log.error("VISA_OIDC_MORE is left out: %s", error)
        return _main()


def by_issuer(issuer: str) -> Registration | None:
    return next((known for known in configured() if known.issuer == issuer), None)


def by_key(key: str) -> Registration | None:
    return next((known for known in configured() if known.key == key), None)


def _main() -> tuple[Registration, ...]:
    main = settings.OIDC
    if not main["issuer"]:
        return ()
    return (
        Registration(
            issuer=main["issuer"],
            client_id=main["client_id"],
            client_secret=main["client_secret"],
            scope=main["scope"],
            redirect_uri=settings.PORTAL_URL + reverse("auth:callback"),
            title=main["title"],
            uid_claim=main.get("uid_claim", ""),
            username_claim=main.get("username_claim", ""),
        ),
    )


def further(file: str) -> tuple[Registration, ...]:
    """Those in `file`, read once; Invalid when it is wrong.

    Each has a redirect URI of its own, so that no answer is taken to another's.
    """
    entries = _read(file) if file else ()
    return tuple(
        Registration(
            issuer=entry["issuer"],
            client_id=entry["client_id"],
            client_secret=entry["client_secret"],
            scope=entry["scope"],
            redirect_uri=settings.PORTAL_URL + reverse("auth:callback_of", args=[entry["key"]]),
            title=entry["title"],
            key=entry["key"],
            sign_in=entry["sign_in"],
            sub_claim=entry["sub_claim"],
        )
        for entry in entries
        if entry["issuer"] != settings.OIDC["issuer"]
    )


@lru_cache(maxsize=8)
def _read(file: str) -> tuple[dict[str, Any], ...]:
    try:
        said = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid([f"{file} cannot be read: {error}."]) from error
    if not isinstance(said, list):
        raise Invalid([f"{file} must hold a list of providers."])
    problems: list[str] = []
    found = tuple(_entry(number, entry, problems) for number, entry in enumerate(said, 1))
    for name in ("issuer", "key"):
        values = [entry[name] for entry in found if entry.get(name)]
        problems += [f"{name} {v!r} is there twice." for v in sorted({v for v in values if values.count(v) > 1})]
    if problems:
        raise Invalid(problems)
    return found


def _entry(number: int, said: Any, problems: list[str]) -> dict[str, Any]:
    where = f"Entry {number}"
    if not isinstance(said, dict):
        problems.append(f"{where} must be an object.")
        return {}
    problems += [f"{where}: {name!r} is no field of a provider." for name in sorted(set(said) - FIELDS)]
    entry: dict[str, Any] = {}
    for name in ("issuer", "client_id", "title"):
        entry[name] = said.get(name)
        if not (isinstance(entry[name], str) and entry[name].strip()):
            problems.append(f"{where}: {name} must be a text that is not empty.")
            entry[name] = ""
    for name, default in (("scope", SCOPE), ("sub_claim", ""), ("client_secret_env", "")):
        entry[name] = said.get(name, default)
        if not isinstance(entry[name], str):
            problems.append(f"{where}: {name} must be a text.")
            entry[name] = ""
    entry["sign_in"] = said.get("sign_in", False)
    if not isinstance(entry["sign_in"], bool):
        problems.append(f"{where}: sign_in must be true or false.")
    if "openid" not in entry["scope"].split():
        problems.append(f"{where}: scope must contain openid.")
    parts = urlsplit(entry["issuer"])
    if entry["issuer"] and not (parts.scheme in ("https", "http") and parts.hostname):
        problems.append(f"{where}: issuer must be an https address.")
    variable = entry.pop("client_secret_env")
    entry["client_secret"] = os.environ.get(variable, "") if variable else ""
    if variable and not entry["client_secret"]:
        problems.append(f"{where}: client_secret_env names {variable}, which is not set.")
    entry["key"] = re.sub(r"[^a-z0-9]+", "-", (parts.netloc + parts.path).lower()).strip("-")
    return entry
