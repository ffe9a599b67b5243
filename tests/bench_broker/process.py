"""`manage.py broker` with one desktop and one web app that are reached without a cloud: `… PORT`."""

import os
import sys

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from instances.providers.base import Endpoint  # noqa: E402
from instances.services import clouds  # noqa: E402


class Both:
    def endpoint(self, key: str, app: str) -> Endpoint:
        return Endpoint(
            host="127.0.0.1", port=int(os.environ["BENCH_DESKTOP" if app == "desktop" else "BENCH_WEB_APP"])
        )


clouds.provider_for = lambda cloud: Both()  # type: ignore[assignment, return-value]
call_command("broker", port=int(sys.argv[1]))
