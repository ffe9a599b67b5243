"""A browser without a screen: cookies, redirects it is told to follow, nothing more."""

import re
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from auth.oidc.demo_provider.people import Person


@dataclass
class Browser:
    portal: str
    http: httpx2.Client

    def start(self, next_page: str = "") -> str:
        """The provider's page that the portal sends to."""
        answer = self.http.get(f"{self.portal}/sign-in/start/", params={"next": next_page} if next_page else {})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def choose(self, page: str, person: Person | None, *, factor: bool = True) -> str:
        """Press somebody's button on the provider's page, or Cancel; the address of the callback.

        `factor`: whether they have a second one, should that be asked for.
        """
        answer = self.http.get(page)
        handle = re.search(r'name="request" value="([^"]+)"', answer.text)
        assert handle, answer.text
        form = {"request": handle[1]} | ({"sub": person.sub} if person else {})
        answer = self.http.post(f"{urlsplit(page).scheme}://{urlsplit(page).netloc}/authorize/decide", data=form)
        if asked := re.search(r'action="/authorize/confirm".*?name="request"\s+value="([^"]+)"', answer.text, re.S):
            form = {"request": asked[1]} | ({"used": "yes"} if factor else {})
            answer = self.http.post(f"{urlsplit(page).scheme}://{urlsplit(page).netloc}/authorize/confirm", data=form)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def sign_in(self, person: Person | None, next_page: str = "") -> httpx2.Response:
        return self.http.get(self.choose(self.start(next_page), person))

    def leave(self) -> httpx2.Response:
        """The page's sign-out button. Django takes any token of 32 letters that cookie and form agree on."""
        token = secrets.token_hex(16)
        return self.http.post(
            f"{self.portal}/sign-out/",
            data={"csrfmiddlewaretoken": token},
            headers={"Cookie": f"visa_csrf={token}; visa_session={self.session}"},
        )

    @property
    def session(self) -> str | None:
        return self.http.cookies.get("visa_session")

    @property
    def is_signed_in(self) -> bool:
        """Whoever is signed in is sent on by the sign-in page."""
        return self.http.get(f"{self.portal}/sign-in/").status_code == 302
