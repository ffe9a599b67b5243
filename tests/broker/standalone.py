"""`manage.py broker` with one desktop that is reached without a cloud: `… PORT [WORKERS]`."""

import os
import sys

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from instances.providers.base import Endpoint  # noqa: E402
from instances.services import clouds  # noqa: E402


class OneDesktop:
    def endpoint(self, key: str, app: str) -> Endpoint:
        return Endpoint(path=os.environ["BROKER_TEST_SOCKET"], secret=os.environ["BROKER_TEST_SECRET"])


clouds.provider_for = lambda cloud: OneDesktop()  # type: ignore[assignment, return-value]
if __name__ == "__main__":  # and not in the processes that it starts
    call_command("broker", port=int(sys.argv[1]), workers=int(sys.argv[2]) if len(sys.argv) > 2 else 1)
