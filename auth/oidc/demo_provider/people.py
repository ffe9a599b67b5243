"""The people of a demonstration: who can be signed in as, and what is said about each."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BY_SCOPE = {
    "profile": ("name", "given_name", "family_name", "preferred_username"),
    "email": ("email", "email_verified"),
    "aarc": (
        "voperson_id",
        "eduperson_entitlement",
        "entitlements",
        "eduperson_scoped_affiliation",
        "voperson_external_affiliation",
        "eduperson_assurance",
    ),
    "schac_home_organization": ("schac_home_organization",),
}


@dataclass(frozen=True, slots=True)
class Person:
    sub: str
    name: str
    about: str
    """One sentence for whoever chooses among them."""
    acr: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    """In the shapes that real providers send, on purpose not all alike."""

    @property
    def initials(self) -> str:
        words = self.name.split()
        return (words[0][0] + words[-1][0]).upper() if len(words) > 1 else self.name[:2].upper()

    def claims_for(self, scope: str) -> dict[str, Any]:
        """What userinfo says when the client was granted `scope`."""
        names = {name for word in scope.split() for name in BY_SCOPE.get(word, ())}
        return {"sub": self.sub} | {name: value for name, value in self.claims.items() if name in names}


def read(file: Path) -> tuple[Person, ...]:
    """Everybody in `file`, in its order. ValueError says what is wrong with it."""
    people = tuple(Person(**entry) for entry in json.loads(file.read_text(encoding="utf-8")))
    if len({person.sub for person in people}) != len(people):
        raise ValueError(f"{file}: two people share a sub")
    return people
