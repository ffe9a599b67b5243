"""`manage.py demo_provider`: an OpenID provider for a demonstration on one machine, in a process of its own."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auth.oidc.demo_provider import people, views
from auth.oidc.demo_provider.core import DemoProvider, Registration, kept_key

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Command(BaseCommand):
    help = "Sign demonstration people in without a password. It listens on this machine only, and for one portal."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--portal-url", default=settings.PORTAL_URL, help="the portal, on this machine")
        parser.add_argument("--issuer", help="when another address than http://localhost:PORT leads here")
        parser.add_argument("--data", type=Path, default=settings.DATA / "demo", help="keeps the signing key")
        parser.add_argument("--people", type=Path, default=settings.ROOT / "visa/demo/people.json")

    def handle(self, *args: Any, **options: Any) -> None:
        issuer = options["issuer"] or f"http://localhost:{options['port']}"
        portal = options["portal_url"].rstrip("/")
        for url in (issuer, portal):
            if urlsplit(url).hostname not in LOOPBACK:
                raise CommandError(f"{url} is not on this machine: a provider without passwords serves nothing else.")
        registration = Registration(
            issuer=issuer,
            client_id=os.environ.get("VISA_OIDC_CLIENT_ID", "visa-portal"),
            client_secret=os.environ.get("VISA_OIDC_CLIENT_SECRET", ""),
            redirect_uri=f"{portal}/sign-in/callback/",
            signed_out_uri=f"{portal}/sign-in/",
        )
        key = kept_key(options["data"] / "provider-key.json")
        # This process serves nothing of the portal, and the portal nothing of this.
        views.serve(DemoProvider(registration, people.read(options["people"]), key))
        settings.ROOT_URLCONF = "auth.oidc.demo_provider.views"
        settings.MIDDLEWARE = ["auth.oidc.demo_provider.views.Headers"]
        settings.ALLOWED_HOSTS = list(LOOPBACK)
        # Queries carry codes: no access log.
        uvicorn.run(
            get_asgi_application(),
            host="127.0.0.1",
            port=options["port"],
            lifespan="off",
            access_log=False,
            log_level="warning",
        )
