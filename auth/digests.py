"""Secrets as they are kept: hashed, so that a stolen database opens nothing. Pure.

SHA-256 without salt or stretching is enough for what is random: tickets, tokens, cookies and session keys.
"""

from hashlib import sha256


def digest_of(secret: str) -> str:
    """64 hex digits."""
    return sha256(secret.encode()).hexdigest()


def session_digest(session_key: str | None) -> str:
    """How tickets and connections know the login that they came from; empty where there is none."""
    return digest_of(session_key) if session_key else ""
