"""From a catalogue's user to (issuer, subject), by what somebody has verified and by nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cells, config, tables
from .base import PersonKey

UNPROVEN = frozenset({"email", "fullName", "familyName", "givenName", "name"})
"""Fields of a user that anybody may share with, or be given by, somebody else."""


def canonical_subject(iss: str, sub: str) -> str:
    """How `sub` is written here: at MyAccessID upper and lower case mean the same, elsewhere they may not."""
    return sub.casefold() if sub.casefold().endswith("@myaccessid.org") else sub


def canonical(key: PersonKey) -> PersonKey:
    sub = canonical_subject(key.iss, key.sub)
    return key if sub == key.sub else PersonKey(key.iss, sub)


@dataclass(frozen=True, slots=True)
class Identities:
    """Who an ICAT user is. The table is asked first: it is how a facility corrects the rest."""

    table: Mapping[str, PersonKey]
    field: str
    field_iss: str
    prefixes: Mapping[str, str]
    """Beginning of a user name → issuer; what follows is the subject."""

    def of(self, user: Mapping[str, Any]) -> PersonKey | None:
        name = user["name"]
        if key := self.table.get(name):
            return key
        if self.field and (sub := _subject(user.get(self.field))):
            return canonical(PersonKey(self.field_iss, sub))
        for prefix, iss in self.prefixes.items():
            if name.startswith(prefix) and (sub := _subject(name[len(prefix) :])):
                return canonical(PersonKey(iss, sub))
        return None


def identities(document: config.Document, folder: Path) -> Identities:
    table = document.take("table", config.of(cells.text(1000)), "")
    by_field = document.part("field")
    prefixes = document.part("prefixes")
    if not (table or by_field.values or prefixes.values):
        document.problems.append(f"{document.where}: table, field or prefixes must say who people are")
    name = iss = ""
    if by_field.values:
        name = by_field.take("name", config.of(_proven))
        iss = by_field.take("iss", config.of(cells.issuer))
    known = _table(folder / table, document.problems) if table else {}
    issuers = {prefix: prefixes.take(prefix, config.of(cells.issuer)) for prefix in list(prefixes.values)}
    if "" in issuers:
        document.problems.append(f"{prefixes.where}: a prefix must not be empty")
    for part in (by_field, prefixes, document):
        part.close()
    return Identities(known, name, iss, issuers)


def _table(file: Path, problems: list[str]) -> dict[str, PersonKey]:
    columns = {"user": cells.text(255), "iss": cells.issuer, "sub": cells.text(255)}
    found: dict[str, PersonKey] = {}
    for row in tables.read(file, columns, {}, problems):
        if row["user"] in found:
            problems.append(f"{row.where}: user {row['user']!r} is there twice")
        found[row["user"]] = canonical(PersonKey(row["iss"], row["sub"]))
    return found


def _proven(value: str) -> str:
    if value in UNPROVEN:
        raise ValueError("must be a verified identifier: names and e-mail addresses prove nothing")
    return value


def _subject(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if text.isprintable() and " " not in text and len(text) <= 255 else ""
