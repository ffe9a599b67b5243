"""Conditions beyond a good signature: who may sign in, how they logged in, how sure their organisation is of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from auth.models import User

from .claims import Identity
from .errors import LowAssurance, NotAdmitted, WeakLogin


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is empty is not asked for. `allowed` and `refused` hold subjects, or `@scope` for all of a scope."""

    acr: tuple[str, ...] = ()
    assurance: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def check(self, identity: Identity, *, user: User | None = None) -> None:
        """NotAdmitted, LowAssurance or WeakLogin. The last is last, for it is the only one a new login can mend."""
        if _among(self.refused, identity.sub) or _among(self.refused, identity.voperson_id):
            raise NotAdmitted("the identity is among the refused ones", user=user)
        if self.allowed and not _among(self.allowed, identity.sub):
            raise NotAdmitted("the identity is not among the allowed ones", user=user)
        if missing := [value for value in self.assurance if value not in identity.assurance]:
            raise LowAssurance(f"the assurance lacks {' and '.join(missing)}", user=user)
        if self.acr and identity.acr not in self.acr:
            raise WeakLogin(f"acr is {identity.acr[:100] or 'missing'}, not {' or '.join(self.acr)}", user=user)


def configured() -> Requirements:
    return Requirements(**{name: tuple(values) for name, values in settings.OIDC_REQUIRES.items()})


def _among(entries: Iterable[str], subject: str) -> bool:
    # A subject's case carries nothing at MyAccessID; elsewhere nobody makes two people out of it.
    subject = subject.casefold()
    scope = "@" + subject.rpartition("@")[2] if "@" in subject else None
    return any(entry.casefold() in (subject, scope) for entry in entries if subject)
