"""Who asks, and what was decided: the two values that every rule takes and returns. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What somebody is at the facility, apart from any experiment."""

    ADMINISTRATOR = "administrator"
    IT_SUPPORT = "it_support"
    INSTRUMENT_SCIENTIST = "instrument_scientist"
    LOCAL_CONTACT = "local_contact"
    INSTRUMENT_CONTROL = "instrument_control"
    AUDITOR = "auditor"

    @property
    def label(self) -> str:
        return "IT support" if self is Role.IT_SUPPORT else self.value.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class RoleHeld:
    """A role that holds at this moment: who gave it, why, to which of a person's accounts, and until when."""

    role: Role
    account: int
    source: str = ""
    """`catalogue:<name>`, `claim:<host>` or `person:<id>`."""
    because: str = ""
    since: datetime | None = None
    until: datetime | None = None
    instrument: int | None = None
    experiment: int | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """The person behind a request, with the roles that hold at this moment."""

    user_id: int
    name: str
    roles: frozenset[Role] = frozenset()
    instruments: frozenset[int] = field(default=frozenset())
    """The instruments of an instrument scientist."""
    experiments: frozenset[int] = field(default=frozenset())
    """The experiments whose local contact they were made by name; the catalogue's own are participations."""
    linked: frozenset[int] = field(default=frozenset())
    """The accounts of their other identities."""
    contact_of: frozenset[int] = field(default=frozenset())
    """The experiments whose local contact the catalogue says they are."""
    controls: frozenset[int] = field(default=frozenset())
    """The instruments of somebody of the instrument control."""
    held: tuple[RoleHeld, ...] = ()
    """Every role with where it comes from: what `roles`, `instruments` and `experiments` were made of."""
    active: bool = True
    """False for somebody who is blocked, through whichever identity: every decision is a denial."""

    @property
    def accounts(self) -> frozenset[int]:
        """Every account that is this person's: what one of them owns or takes part in, all of them do."""
        return self.linked | {self.user_id}

    @property
    def supports(self) -> frozenset[int]:
        """The experiments whose local contact they are, whoever says so; when that counts is the table's to say."""
        return self.experiments | self.contact_of

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer to "may X?" that says why. Falsy when denied."""

    allowed: bool
    because: str
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self.allowed


def allow(because: str, *, until: datetime | None = None) -> Decision:
    return Decision(True, because, until)


def deny(because: str) -> Decision:
    return Decision(False, because)
