"""`make bench-catalogue`: a large facility's catalogue, read whole and a day later, and lists that stay quick with it.

Prints one line per figure with its target on two cores, and fails when one is missed. Each reading is a process of its
own, so that its memory can be told; ICAT+ is asked over a real socket in another one.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FULL, NEWS, MEMORY, LIST, PAGE = 120.0, 5.0, 300.0, 0.05, 0.1
missed: list[str] = []


def main() -> int:
    from visa.postgres import EmbeddedPostgres

    if (busy := os.getloadavg()[0]) > 1:
        sys.stdout.write(
            f"other work is going on here (load {busy:.1f}): the times below are longer than they need be\n"
        )
    with tempfile.TemporaryDirectory(prefix="visa-bench-catalogue-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = EmbeddedPostgres(folder / "postgres")
        try:
            for kind in ("files", "icat"):
                url = server.database(kind)
                environment = _environment(folder, kind, url)
                child("migrate", environment)
                {"files": files, "icat": icat}[kind](folder, environment)
        finally:
            server.stop()
    for line in missed:
        sys.stdout.write(f"missed: {line}\n")
    return 1 if missed else 0


def files(folder: Path, environment: dict[str, str]) -> None:
    from tests.facility_at_scale import Facility

    facility = Facility()
    facility.tables(folder / "tables")
    reading("files: first whole sync", environment, FULL)
    reading("files: nothing has changed", environment, NEWS)
    facility.a_day_later()
    facility.tables(folder / "tables")
    reading("files: a day later, 50 proposals changed", environment, NEWS)
    reading("files: whole sync again", environment, FULL, "--full")
    for what, seconds in child("lists", environment).items():
        target = PAGE if what.startswith("open data") else LIST
        report(f"experiments: {what}: p95", seconds, target, "s")


def icat(folder: Path, environment: dict[str, str]) -> None:
    from tests.portal import free_ports

    port = free_ports()
    (folder / "icat.json").write_text(
        json.dumps(
            {
                "url": f"http://127.0.0.1:{port}",
                "plugin": "db",
                "people": {"prefixes": {"oidc/": "https://proxy.example.org"}},
                "parts": {
                    "Principal investigator": "principal_investigator",
                    "Participant": "participant",
                },
                "proprietary": ["in-"],
            }
        )
    )
    serve = [sys.executable, "-m", "tests.bench_catalogue", "serve", str(port)]
    service = subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert service.stdin and service.stdout
    try:
        service.stdout.readline()
        reading("icat: first whole sync", environment, FULL)
        reading("icat: nothing has changed", environment, NEWS)
        service.stdin.write("a day later\n")
        service.stdin.flush()
        service.stdout.readline()
        reading("icat: a day later, 50 proposals changed", environment, NEWS)
        reading("icat: whole sync again", environment, FULL, "--full")
    finally:
        service.stdin.close()
        service.wait(10)


def reading(what: str, environment: dict[str, str], target: float, *options: str) -> None:
    said = child("sync", environment, *options)
    sys.stdout.write(f"{what}: {said['mode']}, {said['outcome']}, {said['counts'] or 'no change'}\n")
    report(what, said["seconds"], target, "s")
    report(f"{what}: peak memory", said["megabytes"], MEMORY, "MB")


def report(what: str, value: float, target: float, unit: str) -> None:
    verdict = "ok" if value < target else "MISSED"
    if value >= target:
        missed.append(what)
    sys.stdout.write(f"{what:<56} {value:8.3f} {unit:<2}  target {target:g} {unit}  {verdict}\n")
    sys.stdout.flush()


def child(work: str, environment: dict[str, str], *options: str) -> dict[str, Any]:
    """What it says on its last line."""
    command = [sys.executable, "-m", "tests.bench_catalogue", work, *options]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _environment(folder: Path, kind: str, url: str) -> dict[str, str]:
    from tests.catalogues.services import PASSWORD, USER

    where = {"folder": "tables"} if kind == "files" else {"config": "icat.json"}
    file = folder / f"catalogues-{kind}.json"
    file.write_text(json.dumps([{"name": kind, "kind": kind, **where}]))
    return {
        "DATABASE_URL": url,
        "VISA_DATA": str(folder / "data"),
        "VISA_SECRET_KEY": "bench",
        "VISA_CATALOGUES": str(file),
        "VISA_CATALOGUE_ICAT_USERNAME": USER,
        "VISA_CATALOGUE_ICAT_PASSWORD": PASSWORD,
        "DJANGO_SETTINGS_MODULE": "visa.settings",
    }


def work_migrate() -> dict[str, Any]:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    return {}


def work_sync() -> dict[str, Any]:
    from auth.catalogues.configured import configured
    from auth.catalogues.runs import run

    (catalogue,) = configured().values()
    begun = time.perf_counter()
    row, _ = run(catalogue, full="--full" in sys.argv)
    seconds = time.perf_counter() - begun
    if row.outcome not in ("applied", "unchanged"):
        raise SystemExit(f"{row.outcome}: {row.problems}")
    return {
        "seconds": seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "mode": row.mode,
        "outcome": row.outcome,
        "counts": row.counts,
    }


def work_lists() -> dict[str, float]:
    """p95 over 100 times, of the service and of the page, for somebody usual and for an instrument scientist."""
    from django.conf import settings
    from django.db import connection
    from django.db.models import Count
    from django.test import Client

    from auth.models import User
    from instances.services.experiments import Share, entitlements_of, known_to

    settings.ALLOWED_HOSTS = ["*"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    usual = User.objects.annotate(n=Count("participations")).filter(n=7, role_grants=None).order_by("pk")[0]
    scientist = User.objects.filter(role_grants__role="instrument_scientist").order_by("pk")[0]
    found = {}
    for label, user in (("somebody with 7", usual), ("scientist of 2,000", scientist)):

        def first_page(user: User = user) -> None:
            actor = user.as_actor()
            mine = known_to(actor, share=Share.YOURS)
            mine.count()
            entitlements_of(actor, mine[:25])

        client = Client()
        client.force_login(user)

        def page(client: Client = client) -> None:
            answer = client.get("/experiments/")
            assert answer.status_code == 200, answer.status_code

        found[f"{label}, the first page's rows"] = p95(first_page)
        found[f"{label}, the page"] = p95(page)

    def open_data(client: Client = client) -> None:
        assert client.get("/experiments/?of=open").status_code == 200

    found["open data, the page"] = p95(open_data)
    return found


def p95(work: Callable[[], object]) -> float:
    times = []
    for _ in range(110):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.quantiles(times[10:], n=20)[-1]


def serve(port: int) -> None:
    """ICAT+ with this facility, until its input ends; each line is another day."""
    from tests.catalogues.services import IcatPlus
    from tests.facility_at_scale import Facility

    facility = Facility()
    with IcatPlus(port) as service:
        service.rows = facility.investigations()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            facility.a_day_later()
            service.rows = facility.investigations()
            sys.stdout.write("ready\n")
            sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            raise SystemExit(main())
        case ["serve", port]:
            serve(int(port))
        case [work, *_]:
            import django

            django.setup()
            sys.stdout.write(json.dumps(globals()[f"work_{work}"]()) + "\n")
