"""Run a testbed until Ctrl-C."""

import signal
from contextlib import suppress

from .testbed import Testbed

if __name__ == "__main__":
    with Testbed() as testbed, suppress(KeyboardInterrupt):
        print(f"export OS_CLIENT_CONFIG_FILE={testbed.clouds_file} OS_CLOUD=testbed", flush=True)
        signal.pause()
