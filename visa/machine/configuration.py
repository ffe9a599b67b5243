"""Where everything of a one-machine portal is and listens, as the environment that its processes get."""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from django.core.management.base import CommandError

from visa import demo


@dataclass(frozen=True, slots=True)
class Machine:
    """Ports follow each other: pages, broker, demo identity provider."""

    port: int
    data: Path
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def broker_url(self) -> str:
        return f"http://localhost:{self.port + 1}"

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port + 2}"

    @property
    def has_demo(self) -> bool:
        """Unless an identity provider is configured, the machine brings its own, and a demo facility with it."""
        return not os.environ.get("VISA_OIDC_ISSUER")

    @property
    def mail(self) -> Path:
        """Where the demo's mails are written, a file for each."""
        return self.data / "mail"

    @property
    def ports(self) -> dict[str, int]:
        found = {"pages": self.port, "broker": self.port + 1}
        return found | {"demo identity provider": self.port + 2} if self.has_demo else found

    def environment(self, database_url: str) -> dict[str, str]:
        """For every process of the portal. What is set outside already wins, except for what the ports decide."""
        chosen = {
            "DATABASE_URL": database_url,
            "VISA_DATA": str(self.data),
            "VISA_PORTAL_URL": self.url,
            "VISA_BROKER_URL": self.broker_url,
            "VISA_APPS_HOST": f"apps.localhost:{self.port + 1}",
        }
        defaults = {
            "DJANGO_SETTINGS_MODULE": "visa.settings",
            "VISA_SECRET_KEY": kept_secret(self.data / "secret-key"),
            "VISA_DEPLOYMENT": kept_secret(self.data / "deployment")[:12].lower(),
        }
        if self.has_demo:
            defaults |= {
                "VISA_OIDC_CLIENT_ID": "visa-portal",
                "VISA_OIDC_CLIENT_SECRET": kept_secret(self.data / "oidc-secret"),
                "VISA_OIDC_TITLE": "MyAccessID (demo)",
                "VISA_FACILITY_NAME": "Demo Light Source",
                "VISA_CATALOGUES": str(self.data / "demo" / demo.CATALOGUES),
                "VISA_EMAIL_URL": f"filemail:///{quote(str(self.mail))}",
            }
            chosen["VISA_OIDC_ISSUER"] = self.issuer
        return defaults | dict(os.environ) | chosen

    def check_ports(self) -> None:
        """CommandError that names the busy port and what to do about it."""
        for what, port in self.ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.host, port))
                except OSError as error:
                    raise CommandError(
                        f"Port {port} (for the {what}) is taken: {error.strerror}."
                        f" Stop what listens there, or choose another with --port: {len(self.ports)} in a row."
                    ) from None


def kept_secret(file: Path) -> str:
    """Made once, readable by us alone."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_hex(32))
    return file.read_text()
