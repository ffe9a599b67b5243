"""Run a testbed until Ctrl-C or SIGTERM."""

import signal
from contextlib import suppress

from .testbed import Testbed

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with Testbed() as testbed, suppress(KeyboardInterrupt):
        print(f"export OS_CLIENT_CONFIG_FILE={testbed.clouds_file} OS_CLOUD=testbed", flush=True)
        signal.pause()
