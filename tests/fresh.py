"""For tests of actions that demand a fresh login: makes a test client's session one."""

import time

from django.test import Client

from auth.digests import digest_of
from auth.oidc.claims import MFA
from auth.oidc.step_up import COOKIE, KEPT


def freshen(client: Client, *, acr: str = MFA, seconds_ago: float = 0) -> None:
    """As if whoever `client` is signed in as had confirmed with a login of kind `acr`."""
    session = client.session
    session[KEPT] = {"at": time.time() - seconds_ago, "acr": acr, "digest": digest_of("a cookie of the tests")}
    session.save()
    client.cookies[COOKIE] = "a cookie of the tests"
