"""From an identity provider's claims to one value that the portal trusts. Pure.

Providers differ: a bare string where a list is due, a list of one where a string is due, `entitlements` for
`eduperson_entitlement`, `acr` "0" for "nothing to say". Every shape met in the wild ends here. Sources: OpenID Connect
Core 5.1, REFEDS RAF 2.0, AARC-G069.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from auth.identities import canonical_subject, scope_fits

MFA = "https://refeds.org/profile/mfa"
ASSURANCE = "https://refeds.org/assurance"
NO_ACR = frozenset({"", "0"})
LONGEST = 2000
"""Characters of a single value; longer ones are dropped rather than cut, for half a group is another group."""


class ClaimsRefused(ValueError):
    """The claims cannot be anybody's: `str()` says which and why, without their values."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """`<namespace>:group:<group>[:<subgroup>…][:role=<role>][#<authority>]` (AARC-G069)."""

    namespace: str
    groups: tuple[str, ...]
    role: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as one provider vouches for them. `(iss, sub)` is the only key; everything else may change."""

    iss: str
    sub: str
    name: str = ""
    given_name: str = ""
    family_name: str = ""
    preferred_username: str = ""
    email: str = ""
    email_verified: bool = False
    affiliation: str = ""
    voperson_id: str = ""
    entitlements: tuple[str, ...] = ()
    assurance: tuple[str, ...] = ()
    acr: str = ""
    sid: str = ""
    """The provider's own session, by which it can later say that it ended."""
    subject: str = ""
    """What the provider calls them in logout tokens: `sub`, unless another claim was chosen as the key."""
    auth_time: int | None = None
    """When they logged in there, in seconds since 1970; None: it did not say."""
    uid: str = ""
    """The Unix uid that the provider asserts, as it said it."""
    login_name: str = ""
    """The Unix login name that the provider asserts."""

    @property
    def groups(self) -> tuple[Entitlement, ...]:
        """Those entitlements that name a group."""
        parsed = (parse_entitlement(value) for value in self.entitlements)
        return tuple(entitlement for entitlement in parsed if entitlement)

    @property
    def second_factor(self) -> bool:
        return self.acr == MFA

    def snapshot(self) -> dict[str, Any]:
        """What a session keeps: enough to tell how sure the provider was, and of which groups."""
        return {
            "iss": self.iss,
            "sub": self.sub,
            "acr": self.acr,
            "assurance": list(self.assurance),
            "entitlements": list(self.entitlements),
        }


def identity(
    id_token: Mapping[str, Any],
    userinfo: Mapping[str, Any],
    *,
    sub_claim: str = "",
    uid_claim: str = "",
    username_claim: str = "",
) -> Identity:
    """Of a verified ID token and the userinfo that belongs to it. ClaimsRefused when they are two people's or nobody's.

    Userinfo wins where both speak, for most providers say most there; who it is, and how they proved it, is for the
    signed token alone. `sub_claim`: the claim that is the stable key instead of `sub` (UmbrellaID: EAAHash).
    """
    iss, sub = id_token.get("iss"), id_token.get("sub")
    if not (isinstance(iss, str) and iss and isinstance(sub, str) and sub.strip()):
        raise ClaimsRefused("the ID token names nobody")
    if not (is_identifier(iss) and is_identifier(sub)):
        raise ClaimsRefused("the ID token's subject is no identifier")
    if userinfo.get("sub") != sub:
        raise ClaimsRefused("userinfo is about somebody else than the ID token")
    if not scope_fits(iss, sub):
        raise ClaimsRefused("the subject's scope is not the issuer's")
    claims = {**id_token, **{key: value for key, value in userinfo.items() if value not in (None, "", [])}}
    given, family = one(claims, "given_name"), one(claims, "family_name")
    acr = one(id_token, "acr")
    key = _key(id_token, userinfo, sub_claim) if sub_claim else sub
    return Identity(
        iss=iss,
        sub=canonical_subject(iss, key),
        name=(one(claims, "name") or f"{given} {family}".strip())[:200],
        given_name=given[:200],
        family_name=family[:200],
        preferred_username=one(claims, "preferred_username", *(["uid"] if sub_claim else []))[:200],
        email=_email(one(claims, "email", "mail")),
        email_verified=claims.get("email_verified") in (True, "true"),
        affiliation=_affiliation(claims)[:200],
        voperson_id=one(claims, "voperson_id"),
        entitlements=many(claims, "eduperson_entitlement", "entitlements", "eduPersonEntitlement"),
        assurance=many(claims, "eduperson_assurance", "eduPersonAssurance"),
        acr="" if acr in NO_ACR else acr,
        sid=sid if (sid := id_token.get("sid")) and is_identifier(sid) else "",
        subject=canonical_subject(iss, sub),
        auth_time=_seconds(id_token.get("auth_time")),
        uid=one(claims, uid_claim)[:40] if uid_claim else "",
        login_name=one(claims, username_claim)[:200] if username_claim else "",
    )


def parse_entitlement(value: str) -> Entitlement | None:
    """None when it names no group. Group names may hold spaces and percent signs; they are compared as they are."""
    urn, _, authority = value.partition("#")
    namespace, marker, rest = urn.partition(":group:")
    if not (marker and namespace.lower().startswith("urn:")):
        return None
    *groups, last = rest.split(":")
    role = ""
    if groups and last.startswith("role="):
        role = last.removeprefix("role=")
    else:
        groups.append(last)
    return Entitlement(namespace, tuple(groups), role, authority) if all(groups) else None


def is_identifier(value: Any) -> TypeGuard[str]:
    """Text that can be kept and compared as it is."""
    return isinstance(value, str) and 0 < len(value) <= 255 and not _has_controls(value)


def one(claims: Mapping[str, Any], *names: str) -> str:
    """The first value of the first of `names` that has any; empty when none has."""
    return next(iter(many(claims, *names)), "")


def many(claims: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """All values of all `names`, in order, each once; what is not text is left out."""
    values = (value for name in names for value in _as_list(claims.get(name)))
    return tuple(dict.fromkeys(text for text in map(_clean, values) if text))


def _key(id_token: Mapping[str, Any], userinfo: Mapping[str, Any], name: str) -> str:
    """The one value of the claim that is the key; two different ones, or none, are nobody's."""
    said = [value for claims in (id_token, userinfo) for value in _as_list(claims.get(name)) if value is not None]
    if not (said and is_identifier(said[0]) and said[0].strip() and all(value == said[0] for value in said)):
        raise ClaimsRefused(f"{name} does not name anybody")
    return str(said[0])


def _seconds(value: Any) -> int | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 10**11
    return int(value) if usable else None


def _as_list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _clean(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    text = str(value) if isinstance(value, str) or abs(value) < 10**18 else ""
    text = "".join(" " if _is_control(c) else c for c in unicodedata.normalize("NFC", text))
    return text.strip() if len(text) <= LONGEST else ""


def _is_control(character: str) -> bool:
    # Also the invisible ones that turn the direction of a text around, and lone surrogates no database takes.
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _has_controls(text: str) -> bool:
    return any(map(_is_control, text))


def _email(value: str) -> str:
    return value if re.fullmatch(r"[^@\s<>]{1,64}@[^@\s<>]{1,189}", value) else ""


def _affiliation(claims: Mapping[str, Any]) -> str:
    """The home organisation, best name first: `member@example.org` says it by its scope."""
    organisation = one(claims, "organization_name", "schac_home_organization")
    scoped = one(claims, "voperson_external_affiliation", "eduperson_scoped_affiliation")
    return organisation or scoped.rpartition("@")[2]
