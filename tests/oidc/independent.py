"""A certified OpenID provider in a process of its own, and a browser that signs in there."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from tests.portal import free_ports

from .browser import Browser

SECRET = "a secret of the tests"
SCRIPT = Path(__file__).parent / "provider" / "provider.mjs"
MFA = "https://refeds.org/profile/mfa"
RAF = "https://refeds.org/assurance"
ALICE, BRUNO = "a1f0@myaccessid.org", "b2e9@myaccessid.org"
PEOPLE: dict[str, dict[str, Any]] = {
    ALICE: {
        "name": "Alice Moreau",
        "given_name": "Alice",
        "family_name": "Moreau",
        "email": "alice@uni.example",
        "email_verified": True,
        "eduperson_assurance": [f"{RAF}/IAP/medium", f"{RAF}/profile/cappuccino"],
        "eduperson_entitlement": ["urn:geant:example.org:group:beam team:role=member#aai.example.org"],
    },
    BRUNO: {"name": "Bruno Keller", "eduperson_assurance": f"{RAF}/IAP/low"},
}


def new_keys() -> dict[str, Key]:
    return {
        "ES256": ECKey.generate_key("P-256", {"use": "sig"}, auto_kid=True),
        "RS256": RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True),
    }


@dataclass
class Independent:
    """The provider; `keys` are its own, so what is signed with them is perfect."""

    url: str
    keys: dict[str, Key]
    port: int = 0

    def rotate(self) -> None:
        self.keys = new_keys()
        httpx2.post(f"{self.url}/test/keys", json=_private(self.keys)).raise_for_status()

    def ask_consent(self, wanted: bool) -> None:
        """Whether people are asked if the portal may know who they are."""
        httpx2.post(f"{self.url}/test/consent", json=wanted).raise_for_status()

    def heard(self) -> list[dict[str, Any]]:
        """Every logout token that it sent, with the portal's status."""
        said: list[dict[str, Any]] = httpx2.get(f"{self.url}/test/heard").json()
        return said

    def sign(self, claims: dict[str, Any], *, algorithm: str, **header: Any) -> str:
        key = self.keys[algorithm]
        fields = {"alg": algorithm, "kid": key.kid, "typ": "logout+jwt"} | header
        return jwt.encode({k: v for k, v in fields.items() if v is not None}, claims, key, [algorithm])


@contextlib.contextmanager
def independent_process(portal: str, *, issuer: str = "") -> Iterator[Independent]:
    port, keys = free_ports(1), new_keys()
    told = {"port": port, "portal": portal, "secret": SECRET, "keys": _private(keys), "people": PEOPLE}
    told |= {"issuer": issuer or f"http://localhost:{port}"}
    process = subprocess.Popen(["node", str(SCRIPT), json.dumps(told)], stdin=subprocess.PIPE)
    try:
        url = f"http://localhost:{port}"
        for _ in range(400):
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/.well-known/openid-configuration").status_code == 200:
                    break
            assert process.poll() is None, "the provider has ended"
            time.sleep(0.05)
        yield Independent(issuer or url, keys, port)
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Visitor(Browser):
    """A browser that knows the independent provider's pages."""

    def log_in(self, page: str, sub: str, acr: str = "") -> str:
        """Log in there, or cancel without `sub`; the address of the portal's callback."""
        answer = self.http.get(page)
        while not answer.headers.get("location", "").startswith(self.portal):
            if answer.status_code in (302, 303):
                address = urljoin(str(answer.request.url), answer.headers["location"])
                answer = self.http.get(address)
                continue
            assert answer.status_code == 200, answer.text
            if "/session/end/confirm" in answer.text:  # it ends the login of somebody else first, by a script
                answer = self._press(answer, "/session/end/confirm")
                continue
            assert "/interaction/" in str(answer.request.url), answer.text
            answer = self.http.post(str(answer.request.url), data={"sub": sub, "acr": acr})
        return str(answer.headers["location"])

    def forget_provider(self) -> None:
        """As if the provider remembered nobody: otherwise it ends the first login when another one begins."""
        for cookie in list(self.http.cookies.jar):
            if cookie.name.startswith(("_session", "_interaction")):
                self.http.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)

    def come_in(self, sub: str, acr: str = "") -> httpx2.Response:
        return self.http.get(self.log_in(self.start(), sub, acr))

    def confirm_leaving(self, page: str) -> httpx2.Response:
        """Press the button on the provider's page that asks whether to sign out there too."""
        return self._press(self.http.get(page), "/session/end/confirm")

    def _press(self, asked: httpx2.Response, path: str) -> httpx2.Response:
        xsrf = asked.text.partition('name="xsrf" value="')[2].partition('"')[0]
        assert xsrf, asked.text
        return self.http.post(urljoin(str(asked.request.url), path), data={"xsrf": xsrf, "logout": "yes"})


def _private(keys: dict[str, Key]) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=True) for key in keys.values()]}
