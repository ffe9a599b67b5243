"""A small OpenID provider for one client and a handful of demonstration people.

It asks for no password, so it must never listen beyond this machine. All else is as a real one does it: exact redirect
URIs, PKCE S256, single-use codes, signed ID tokens, `iss` in every answer (RFC 9207). Sources: OpenID Connect Core 1.0,
RFC 6749, RFC 7636, RFC 9207, OpenID Connect RP-Initiated Logout 1.0.
"""

import base64
import binascii
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey

from auth.oidc.claims import MFA

from .people import Person
from .shelf import Shelf

ALGORITHM = "RS256"
ID_TOKEN_SECONDS = 300
TOKEN_SECONDS = 600


class Refusal(Exception):
    """An error of RFC 6749; `str()` of it is for developers."""

    def __init__(self, code: str, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.code = code
        self.status = status


class NotOurs(Exception):
    """A request whose redirect URI cannot be trusted: it is answered here and sent nowhere."""


@dataclass(frozen=True, slots=True)
class Registration:
    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str
    signed_out_uri: str


@dataclass(frozen=True, slots=True)
class Question:
    """A valid authorization request that waits for a person to choose."""

    state: str
    nonce: str
    challenge: str
    scope: str
    wants_factor: bool = False
    """The portal wishes for a login with a second factor."""


@dataclass(frozen=True, slots=True)
class Grant:
    person: Person
    question: Question
    at: int
    acr: str


@dataclass(frozen=True, slots=True)
class Factor:
    """Somebody was chosen and is now asked for the second factor that the portal wishes for."""

    person: Person
    question: Question


@dataclass
class DemoProvider:
    registration: Registration
    people: tuple[Person, ...]
    key: RSAKey
    questions: Shelf[Question] = field(default_factory=lambda: Shelf(900))
    factors: Shelf[Factor] = field(default_factory=lambda: Shelf(900))
    codes: Shelf[Grant] = field(default_factory=lambda: Shelf(60))
    tokens: Shelf[Grant] = field(default_factory=lambda: Shelf(TOKEN_SECONDS))
    redeemed: dict[str, str] = field(default_factory=dict)

    def discovery(self) -> dict[str, Any]:
        issuer = self.registration.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/jwks",
            "end_session_endpoint": f"{issuer}/end-session",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic" if self.registration.client_secret else "none"
            ],
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": [MFA],
            "claims_supported": ["sub", "acr", "auth_time"],
            "scopes_supported": ["openid", "profile", "email", "aarc", "schac_home_organization"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        public = self.key.as_dict(private=False, use="sig", alg=ALGORITHM)
        return {"keys": [public]}

    def ask(self, request: Mapping[str, str]) -> str:
        """The handle of a valid request. NotOurs, or a Refusal that belongs to the client."""
        ours = self.registration
        if request.get("client_id") != ours.client_id or request.get("redirect_uri") != ours.redirect_uri:
            raise NotOurs("The request does not come from the portal that this provider was started for.")
        if request.get("response_type") != "code":
            raise Refusal("unsupported_response_type", "only code")
        if "openid" not in (scope := request.get("scope", "")).split():
            raise Refusal("invalid_scope", "openid is missing")
        challenge = request.get("code_challenge", "")
        if request.get("code_challenge_method") != "S256" or not re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge):
            raise Refusal("invalid_request", "PKCE with S256 is required")
        if request.get("prompt") == "none":
            raise Refusal("login_required", "nobody is remembered here")
        if not re.fullmatch(r"\d{0,9}", request.get("max_age", "")):
            raise Refusal("invalid_request", "max_age is no number of seconds")
        # Nobody is remembered, so every login is as fresh as prompt=login and max_age can ask for.
        wants = MFA in request.get("acr_values", "").split()
        return self.questions.put(
            Question(request.get("state", ""), request.get("nonce", ""), challenge, scope, wants_factor=wants)
        )

    def decide(self, handle: str, sub: str | None) -> tuple[str, str]:
        """Once somebody was chosen, or nobody (None): where to send the browser, or else the handle of the question for
        a second factor. NotOurs: the page is out of date."""
        question = self.questions.take(handle)
        person = next((person for person in self.people if person.sub == sub), None)
        if question is None or (sub is not None and person is None):
            raise NotOurs("This page is out of date. Go back to the portal and sign in again.")
        if person is None:
            return self.answer(question.state, error="access_denied"), ""
        if question.wants_factor:
            return "", self.factors.put(Factor(person, question))
        return self._granted(person, question, person.acr), ""

    def confirm(self, handle: str, *, used: bool) -> str:
        """Where to send the browser once the second factor was used, or could not be. NotOurs: it is out of date."""
        asked = self.factors.take(handle)
        if asked is None:
            raise NotOurs("This page is out of date. Go back to the portal and try again.")
        without = "" if asked.person.acr == MFA else asked.person.acr
        return self._granted(asked.person, asked.question, MFA if used else without)

    def _granted(self, person: Person, question: Question, acr: str) -> str:
        return self.answer(question.state, code=self.codes.put(Grant(person, question, int(time.time()), acr)))

    def answer(self, state: str, **said: str) -> str:
        said |= {"iss": self.registration.issuer} | ({"state": state} if state else {})
        return f"{self.registration.redirect_uri}?{urlencode(said)}"

    def redeem(self, form: Mapping[str, str], authorization: str) -> dict[str, Any]:
        """The tokens for a code, once."""
        self._check_client(form, authorization)
        if form.get("grant_type") != "authorization_code":
            raise Refusal("unsupported_grant_type", "only authorization_code")
        code = form.get("code", "")
        grant = self.codes.take(code)
        if grant is None:
            # A code that comes twice was stolen: what it gave the first time is worth nothing from now on.
            self.tokens.take(self.redeemed.pop(code, ""))
            raise Refusal("invalid_grant", "the code is unknown, used or too old")
        if form.get("redirect_uri") != self.registration.redirect_uri:
            raise Refusal("invalid_grant", "another redirect_uri than before")
        if not _same(challenge_of(form.get("code_verifier", "")), grant.question.challenge):
            raise Refusal("invalid_grant", "the code_verifier does not fit")
        token = self.tokens.put(grant)
        if len(self.redeemed) > 1000:
            self.redeemed.clear()
        self.redeemed[code] = token
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": grant.question.scope,
            "id_token": self._id_token(grant, token),
        }

    def userinfo(self, authorization: str) -> dict[str, Any]:
        scheme, _, token = authorization.partition(" ")
        grant = self.tokens.get(token) if scheme.lower() == "bearer" else None
        if grant is None:
            raise Refusal("invalid_token", "the token is unknown or too old", status=401)
        return grant.person.claims_for(grant.question.scope)

    def signed_out(self, request: Mapping[str, str]) -> str:
        """Where to go after signing out: back to the portal if it asked for that, else nowhere."""
        ours = self.registration
        back = request.get("post_logout_redirect_uri", "")
        if request.get("client_id") != ours.client_id or back != ours.signed_out_uri:
            return ""
        return f"{back}?{urlencode({'state': request['state']})}" if request.get("state") else back

    def _check_client(self, form: Mapping[str, str], authorization: str) -> None:
        ours = self.registration
        if not ours.client_secret:
            if form.get("client_id") != ours.client_id:
                raise Refusal("invalid_client", "unknown client", status=401)
            return
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        client_id, _, secret = given.partition(":")
        if not (unquote_plus(client_id) == ours.client_id and _same(unquote_plus(secret), ours.client_secret)):
            raise Refusal("invalid_client", "client_secret_basic is required", status=401)

    def _id_token(self, grant: Grant, access_token: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.registration.issuer,
            "sub": grant.person.sub,
            "aud": self.registration.client_id,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
            "auth_time": grant.at,
            "at_hash": _b64(sha256(access_token.encode()).digest()[:16]),
        }
        claims |= {"nonce": grant.question.nonce} if grant.question.nonce else {}
        claims |= {"acr": grant.acr} if grant.acr else {}
        return jwt.encode({"alg": ALGORITHM, "kid": self.key.kid}, claims, self.key, [ALGORITHM])


def kept_key(file: Path) -> RSAKey:
    """The signing key in `file`, made when it is not there; for its owner's eyes only."""
    if not file.exists():
        key = RSAKey.generate_key(2048, auto_kid=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(".new")
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(key.as_dict(private=True), out)
        half.rename(file)
    return RSAKey.import_key(json.loads(file.read_text()))


def challenge_of(verifier: str) -> str:
    return _b64(sha256(verifier.encode()).digest())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
