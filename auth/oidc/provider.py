"""What an OpenID provider says about itself: discovery and keys, fetched once and kept for a while in this process."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import Token
from joserfc.jwt import decode as decode_jwt

from .errors import Unreachable, Untrusted

log = logging.getLogger(__name__)

TIMEOUT = httpx2.Timeout(8.0, connect=4.0)
"""Seconds: a person waits for these answers."""
KEPT = 3600.0
"""Seconds for which discovery is believed."""
KEYS_REST = 5.0
"""Seconds between two fetches of the keys, however many tokens come with unknown ones."""
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures only: with a shared secret or with "none" anybody could write a token."""


@dataclass(frozen=True, slots=True)
class Metadata:
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    algorithms: frozenset[str]
    auth_methods: frozenset[str]
    names_itself: bool
    """It sends `iss` back with every answer (RFC 9207), so an answer without it is not its own."""


class Provider:
    """One issuer. Its methods raise Unreachable when it does not answer and Untrusted when what it says is wrong."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        self._keys_at = 0.0

    def metadata(self) -> Metadata:
        with self._lock:
            if self._metadata is None or time.monotonic() > self._metadata_until:
                self._metadata = self._discover()
                self._metadata_until = time.monotonic() + KEPT
            return self._metadata

    def verify(self, token: Any, what: str = "ID token") -> Token:
        """The parts of a JWT whose signature is the provider's; its claims are yet to be checked."""
        if not isinstance(token, str):
            raise Untrusted(f"there is no {what}")
        algorithms = self.metadata().algorithms
        keys, fetched = self._key_set(since=None)
        try:
            try:
                return decode_jwt(token, keys, algorithms)
            except InvalidKeyIdError:  # it changed its keys, perhaps
                return decode_jwt(token, self._key_set(since=fetched)[0], algorithms)
        except (JoseError, ValueError, TypeError, RecursionError) as error:  # parts of odd types, or nested too deeply
            raise Untrusted(f"{what}: {type(error).__name__}") from error

    def _discover(self) -> Metadata:
        require_safe(self.issuer)
        said = fetch_json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if said.get("issuer") != self.issuer:
            raise Untrusted("discovery names another issuer than the one configured")
        endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
        for name in endpoints:
            require_safe(said.get(name), name)
        if end_session := said.get("end_session_endpoint", ""):
            require_safe(end_session, "end_session_endpoint")
        return Metadata(
            issuer=self.issuer,
            **{name: said[name] for name in endpoints},
            end_session_endpoint=end_session,
            algorithms=ALGORITHMS & _texts(said, "id_token_signing_alg_values_supported", "RS256"),
            auth_methods=_texts(said, "token_endpoint_auth_methods_supported", "client_secret_basic"),
            names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        )

    def _key_set(self, *, since: float | None) -> tuple[KeySet, float]:
        """The keys and when they were fetched: newer ones than `since`, unless they were fetched a moment ago."""
        uri = self.metadata().jwks_uri
        with self._lock:
            stale = since is not None and since == self._keys_at and time.monotonic() - self._keys_at > KEYS_REST
            if self._keys is None or stale:
                said = fetch_json(uri)
                try:
                    # The kinds we verify with; a shared secret among public keys would be an accident.
                    usable = [key for key in said["keys"] if key.get("kty") in ("RSA", "EC", "OKP")]
                    self._keys = KeySet.import_key_set({"keys": usable})
                except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
                    raise Unreachable(f"{uri} holds no keys: {type(error).__name__}") from error
                self._keys_at = time.monotonic()
            return self._keys, self._keys_at


def fetch_json(url: str, *, bearer: str = "") -> dict[str, Any]:
    """The JSON object at `url`. Redirects are not followed: an endpoint is where discovery says it is."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        answer = httpx2.get(url, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        said = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        # The error's own text may repeat headers or bodies; its kind is enough for the log.
        raise Unreachable(f"{url}: {type(error).__name__}") from error
    if not isinstance(said, dict):
        raise Unreachable(f"{url}: no JSON object")
    return said


def require_safe(url: Any, what: str = "issuer") -> None:
    """Codes and tokens travel under TLS, or do not leave this machine."""
    parts = urlsplit(url if isinstance(url, str) else "")
    local = parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not (local or (parts.scheme == "https" and parts.hostname)):
        raise Untrusted(f"the {what} is neither https nor on this machine")


def _texts(said: dict[str, Any], name: str, default: str) -> frozenset[str]:
    values = said.get(name)
    return frozenset(v for v in values if isinstance(v, str)) if isinstance(values, list) else frozenset({default})
