"""The names under which providers know people, in the one form in which they are compared. Pure."""

from urllib.parse import urlsplit

MYACCESSID = "myaccessid.org"


def canonical_subject(iss: str, sub: str) -> str:
    """`sub` as accounts, logins and catalogues key it: at MyAccessID its case carries nothing, elsewhere it may."""
    return sub.casefold() if _scope(sub) == MYACCESSID else sub


def scope_fits(iss: str, sub: str) -> bool:
    """Whether `iss` may speak of `sub`: MyAccessID's own proxies name subjects of their own scope and no other."""
    host = (urlsplit(iss).hostname or "").casefold()
    if host != MYACCESSID and not host.endswith(f".{MYACCESSID}"):
        return True
    scope = _scope(sub)
    ours = scope == MYACCESSID or scope.endswith(f".{MYACCESSID}")
    return ours and (host == scope or host.endswith(f".{scope}"))


def shortened(sub: str) -> str:
    """A subject to recognise at a glance: `13312e5c…c158@demo.localhost`."""
    name, at, scope = sub.rpartition("@")
    name, at, scope = (name, at, scope) if at else (sub, "", "")
    return f"{name[:8]}…{name[-4:]}{at}{scope}" if len(name) > 16 else sub


def _scope(sub: str) -> str:
    return sub.rpartition("@")[2].casefold() if "@" in sub else ""
