"""Loaded first (`-p tests.postgres`): a PostgreSQL of our own whose address the settings then read."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from visa.postgres import EmbeddedPostgres

folder = Path(tempfile.mkdtemp(prefix="visa-tests-"))
folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
server = EmbeddedPostgres(folder / "postgres")


@atexit.register
def _stop() -> None:
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


os.environ["DATABASE_URL"] = server.database("visa")
os.environ["VISA_DATA"] = str(folder / "data")
os.environ["VISA_SECRET_KEY"] = "tests"
