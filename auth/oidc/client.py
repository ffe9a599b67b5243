"""The portal as a client of one OpenID provider: authorization code, PKCE S256, state and nonce.

Nothing here knows Django's requests or models. `Client.begin` gives what the browser must be sent to and what must be
remembered; `Client.finish` turns the answer into an Identity or raises one of errors.py.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlencode

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from . import claims
from .errors import Denied, SignInFailed, Stale, Unreachable, Untrusted
from .provider import TIMEOUT, Provider, fetch_json
from .registrations import Registration, by_issuer, by_key

LEEWAY = 60
"""Seconds by which the clocks may differ."""
PATIENCE = 15 * 60
"""Seconds that a person may take at the provider."""
REFUSALS = frozenset(
    {"access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required"}
)
OUTAGES = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True)
class Errand:
    """What a login at a provider is wanted for."""

    purpose: Literal["sign_in", "confirm", "link"] = "sign_in"
    next: str = "/"
    account: int | None = None
    """Whose session it is that something is confirmed in, or linked to."""
    acr: tuple[str, ...] = ()
    """The kinds of login to wish for."""
    insist: bool = False
    """The person is to log in there again, come what may: an older login would not do."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An errand under way; only the browser that began it, by its session, may end it."""

    nonce: str
    verifier: str
    begun: float
    issuer: str
    errand: Errand

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Pending":
        errand = Errand(**{**kept["errand"], "acr": tuple(kept["errand"]["acr"])})
        return cls(**{**kept, "errand": errand})

    @property
    def is_late(self) -> bool:
        return not 0 <= time.time() - self.begun < PATIENCE


class Client:
    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.provider = Provider(registration.issuer)

    def begin(self, errand: Errand) -> tuple[str, str, Pending]:
        """The provider's page to send the browser to, the state, and what to remember under that state."""
        metadata = self.provider.metadata()
        issuer = self.registration.issuer
        pending = Pending(secrets.token_urlsafe(32), secrets.token_urlsafe(48), time.time(), issuer, errand)
        wishes = {"acr_values": " ".join(errand.acr)} if errand.acr else {}
        if errand.insist:  # max_age makes it say when that was (OpenID Connect Core 2)
            wishes |= {"prompt": "login", "max_age": "0"}
        with self._session() as session:
            url, state = session.create_authorization_url(
                metadata.authorization_endpoint,
                state=secrets.token_urlsafe(32),
                nonce=pending.nonce,
                code_verifier=pending.verifier,
                **wishes,
            )
        return url, state, pending

    def finish(self, answer: Mapping[str, str], pending: Pending) -> claims.Identity:
        """Who came back. `answer` is the callback's query; `pending` what `begin` gave for its state."""
        if pending.is_late:
            raise Stale("the answer came too late")
        self._check_sender(answer)
        if reason := answer.get("error"):
            raise refusal(reason)
        if not (code := answer.get("code")):
            raise Untrusted("the answer holds neither a code nor an error")
        token = self._redeem(code, pending.verifier)
        id_token = self._check_id_token(token, pending.nonce)
        userinfo = fetch_json(self.provider.metadata().userinfo_endpoint, bearer=str(token["access_token"]))
        try:
            return claims.identity(
                id_token,
                userinfo,
                sub_claim=self.registration.sub_claim,
                uid_claim=self.registration.uid_claim,
                username_claim=self.registration.username_claim,
            )
        except claims.ClaimsRefused as error:
            raise Untrusted(str(error)) from error

    def sign_out_url(self, *, back_to: str) -> str:
        """Where the provider ends its own session; empty when it cannot, or does not answer."""
        try:
            endpoint = self.provider.metadata().end_session_endpoint
        except SignInFailed:
            return ""
        if not endpoint:
            return ""
        # `client_id` stands in for the token as a hint, so that no token has to be kept or sent in a URL.
        query = urlencode({"client_id": self.registration.client_id, "post_logout_redirect_uri": back_to})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def _check_sender(self, answer: Mapping[str, str]) -> None:
        """RFC 9207: an answer that another provider sent must not be taken to this one."""
        sender = answer.get("iss")
        if sender is None and self.provider.metadata().names_itself:
            raise Untrusted("the answer does not say who sent it")
        if sender is not None and sender != self.registration.issuer:
            raise Untrusted("another provider sent the answer")

    def _redeem(self, code: str, verifier: str) -> Mapping[str, Any]:
        metadata = self.provider.metadata()
        try:
            with self._session() as session:
                token = session.fetch_token(
                    metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                )
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise Stale("the provider does not take the code (any more)") from error
            raise SignInFailed(f"the token endpoint says {str(error.error)[:40]}") from error
        except (httpx2.HTTPError, ValueError, TypeError) as error:
            raise Unreachable(f"token endpoint: {type(error).__name__}") from error
        if str(token.get("token_type", "")).lower() != "bearer" or not isinstance(token.get("access_token"), str):
            raise Untrusted("the token endpoint gave no bearer token")
        return dict(token)

    def _check_id_token(self, token: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        verified = self.provider.verify(token.get("id_token"))
        registration = self.registration
        # Without options for both, iss and aud would not be looked at.
        options = {
            "iss": {"essential": True, "value": registration.issuer},
            "aud": {"essential": True, "value": registration.client_id},
            "nonce": {"essential": True, "value": nonce},
        }
        params = {"nonce": nonce, "client_id": registration.client_id, "access_token": token["access_token"]}
        id_token = CodeIDToken(verified.claims, verified.header, options=options, params=params)
        try:
            id_token.validate(leeway=LEEWAY)
        except (JoseError, ValueError, TypeError) as error:
            raise Untrusted(f"ID token: {getattr(error, 'claim', '') or ''} {type(error).__name__}") from error
        return dict(id_token)

    def _session(self) -> OAuth2Client:
        registration, methods = self.registration, self.provider.metadata().auth_methods
        method = "none"
        if registration.client_secret:
            method = "client_secret_post" if "client_secret_basic" not in methods else "client_secret_basic"
        return OAuth2Client(
            client_id=registration.client_id,
            client_secret=registration.client_secret or None,
            token_endpoint_auth_method=method,
            scope=registration.scope,
            redirect_uri=registration.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT,
        )


def refusal(error: str) -> SignInFailed:
    """The exception for an error that the provider sent through the browser."""
    kind = Denied if error in REFUSALS else Unreachable if error in OUTAGES else SignInFailed
    known = error if error in REFUSALS | OUTAGES else "another error"  # the browser may have made it up
    return kind(f"the provider answered with {known}")


def configured() -> Client:
    """The client of the main provider; the same one, with what it has learned, for the whole process."""
    return of("")


def of(issuer: str) -> Client:
    """The client of one provider; of the main one without `issuer`. Unreachable when there is none."""
    known = by_issuer(issuer) if issuer else by_key("")
    if known is None:
        raise Unreachable("no such identity provider is configured (VISA_OIDC_ISSUER, VISA_OIDC_MORE)")
    return _client(known)


@lru_cache(maxsize=8)
def _client(registration: Registration) -> Client:
    return Client(registration)
