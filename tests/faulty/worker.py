"""`python -m tests.faulty.worker`: the ordinary worker, which knows the faulty cloud too.

When it is told to stop, it leaves in the folder VISA_TEST_REPORTS how much processor time it has used since it began
to work (`seconds`), and how much of that went to the faulty cloud's wire (`provider`).
"""

import json
import os
import sys
import time
from pathlib import Path

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from instances.management.commands import worker  # noqa: F401  (what it imports is not its work)
    from instances.services import clouds

    clouds.KINDS["faulty"] = "tests.faulty.provider.FaultyProvider"
    begun = time.process_time()
    call_command("worker", *sys.argv[1:])
    if folder := os.environ.get("VISA_TEST_REPORTS"):
        (Path(folder) / f"{os.getpid()}.json").write_text(
            json.dumps({"seconds": time.process_time() - begun, "provider": _on_the_wire()})
        )


def _on_the_wire() -> float:
    from instances.models import Cloud
    from instances.services.clouds import provider_for
    from tests.faulty.provider import FaultyProvider

    providers = map(provider_for, Cloud.objects.filter(kind="faulty"))
    return sum(provider.seconds for provider in providers if isinstance(provider, FaultyProvider))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "visa.settings")
    main()
