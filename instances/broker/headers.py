"""What may cross between a browser and an instance: headers and cookies. Pure."""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

COOKIE = "visa_app"
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding"
    b" upgrade".split()
)
_NOT_UP = HOP_BY_HOP | frozenset(b"host authorization expect forwarded x-real-ip content-length".split())
_NOT_DOWN = HOP_BY_HOP | frozenset(b"alt-svc strict-transport-security".split())
_OURS = ("visa_", "__host-visa", "__secure-visa")
_DEFAULTS = {
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"cross-origin-opener-policy": b"same-origin-allow-popups",
}


def is_ours(cookie: str, reserved: Iterable[str]) -> bool:
    """Whether a cookie of this name belongs to the portal. Browsers compare the prefixes without case."""
    name = cookie.strip().lower()
    return name.startswith(_OURS) or name in {other.lower() for other in reserved}


def cookies(headers: Iterable[Header], name: str) -> list[str]:
    """Every value under `name`: another instance may have left one for the whole domain, beside ours."""
    found = []
    for pair in _pairs(headers):
        key, _, value = pair.partition("=")
        if key.strip() == name:
            found.append(value.strip())
    return found


def upwards(headers: Iterable[Header], *, host: str, scheme: str, secret: str, reserved: Iterable[str]) -> list[Header]:
    """The request headers for the instance: neither the portal's cookies, nor claims about where it came from."""
    headers = list(headers)
    dropped = _NOT_UP | _named(headers) | {b"cookie"}
    kept = [(name, value) for name, value in headers if name not in dropped and not name.startswith(b"x-forwarded-")]
    theirs = [pair.strip() for pair in _pairs(headers) if pair.strip() and not is_ours(pair.split("=")[0], reserved)]
    if theirs:
        kept.append((b"cookie", "; ".join(theirs).encode("latin-1")))
    kept += [(b"host", host.encode("latin-1")), (b"x-forwarded-proto", scheme.encode())]
    if secret:
        kept.append((b"authorization", f"token {secret}".encode()))
    return kept


def downwards(headers: Iterable[Header], *, reserved: Iterable[str]) -> list[Header]:
    """The response headers for the browser: cookies for its own host only, and never by a name of ours."""
    headers = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_DOWN | _named(headers)
    kept = []
    for name, value in headers:
        if name == b"set-cookie":
            value = _own_cookie(value, reserved)
        if name not in dropped and value:
            kept.append((name, value))
    present = {name for name, _ in kept}
    kept += [(name, value) for name, value in _DEFAULTS.items() if name not in present]
    kept.append((b"content-security-policy", b"frame-ancestors 'self'"))
    return kept


def _own_cookie(value: bytes, reserved: Iterable[str]) -> bytes:
    """The cookie without its domain; nothing for one of ours, or without a name, which could pose as ours."""
    first, *attributes = value.split(b";")
    name, equals, _ = first.partition(b"=")
    if not equals or not name.strip() or is_ours(name.decode("latin-1"), reserved):
        return b""
    kept = [a for a in attributes if a.split(b"=")[0].strip().lower() != b"domain"]
    return b";".join([first, *kept])


def _named(headers: Iterable[Header]) -> frozenset[bytes]:
    """The headers that a Connection header declares to be for this hop only."""
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    )


def _pairs(headers: Iterable[Header]) -> list[str]:
    return [pair for name, value in headers if name == b"cookie" for pair in value.decode("latin-1").split(";")]
