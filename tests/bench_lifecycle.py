"""`make bench-lifecycle`: what 10,000 instances cost while little happens, and how a rush of 500 launches drains.

Prints one line per figure with its target on two cores, and fails when one is missed. PostgreSQL is real, the cloud is
the tests' own (without faults) in another process, and so are the workers.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django
import psutil

from tests.faulty.process import FaultyCloud
from visa.machine.supervisor import Supervisor
from visa.postgres import EmbeddedPostgres

INSTANCES = 10_000
ROUNDS = 5
TICK = 2.0
LAUNCHES, WORKERS, RATE, BURST = 500, 3, 25.0, 20
OVERHEAD = 0.020
IDLE = 10.0
"""Seconds in which the workers are watched doing nothing."""
DEPLOYMENT = "bench"
missed: list[str] = []


def main() -> int:
    if (busy := os.getloadavg()[0]) > 1:
        say(f"other work is going on here (load {busy:.1f}): the times below are longer than they need be")
    with tempfile.TemporaryDirectory(prefix="visa-bench-lifecycle-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        server = EmbeddedPostgres(folder / "postgres")
        try:
            _prepare(folder, server.database("visa"))
            with FaultyCloud(patience=20) as cloud:
                rush(folder, cloud)
            with FaultyCloud(patience=20) as cloud:
                ticks(cloud)
        finally:
            server.stop()
    for line in missed:
        say(f"missed: {line}")
    return 1 if missed else 0


def _prepare(folder: Path, url: str) -> None:
    os.environ |= {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "visa.settings",
        "VISA_DATA": str(folder / "data"),
        "VISA_DEPLOYMENT": DEPLOYMENT,
        "VISA_SECRET_KEY": "bench",
        "VISA_LOG_LEVEL": "WARNING",
        "VISA_TEST_REPORTS": str(folder),
    }
    django.setup()
    from instances.services import clouds

    clouds.KINDS["faulty"] = "tests.faulty.provider.FaultyProvider"


def rush(folder: Path, cloud: FaultyCloud) -> None:
    """So many wait when the workers start; then the cloud's rate is all that holds them up."""
    from django.db.models import Max, Min

    from instances.models import InstanceEvent
    from instances.services.launch import launch
    from tests.chaos.world import world

    users, experiment = world(cloud.settings, 50, rate=RATE, burst=BURST, concurrency=16)

    def one(n: int) -> None:
        launch(
            acting_user=users[n % len(users)],
            experiments=[experiment],
            environment="desktop",
            flavour="s",
            display={},
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(LAUNCHES)))
    workers = Supervisor({**os.environ}, folder / "logs")
    for n in range(WORKERS):
        workers.start(f"worker-{n}", [sys.executable, "-m", "tests.faulty.worker"])
    try:
        _until_ready(LAUNCHES, within=10 * LAUNCHES / RATE)
        busy = _processor_time(workers)
        time.sleep(IDLE)
        idle = (_processor_time(workers) - busy) / IDLE
    finally:
        workers.stop()
    took = InstanceEvent.objects.filter(after="ready").aggregate(last=Max("at"))["last"]
    took -= InstanceEvent.objects.filter(after="starting").aggregate(first=Min("at"))["first"]
    ideal = (LAUNCHES - BURST) / RATE
    report(f"rush of {LAUNCHES}: time, of what {RATE:g} calls/s allow", took.total_seconds() / ideal, 1.2, "×")
    wrong = InstanceEvent.objects.filter(after__in=["failed", "unknown", "stopped"]).count()
    report(f"rush of {LAUNCHES}: errors", wrong, 1, "")
    report(f"rush of {LAUNCHES}: servers too many", len(cloud.servers()) - LAUNCHES, 1, "")
    used = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    own = sum(one["seconds"] - one["provider"] for one in used) - idle * (took.total_seconds() + IDLE)
    say(f"idle, the {WORKERS} workers together use {idle:.1%} of a core, which is not counted in the next line")
    report("processor time of workers for each launch", own / LAUNCHES * 1000, OVERHEAD * 1000, "ms")


def _processor_time(workers: Supervisor) -> float:
    """In seconds, of all of them until now."""
    spent = [psutil.Process(child.pid).cpu_times() for child in workers.children]
    return sum(one.user + one.system for one in spent)


def _until_ready(count: int, *, within: float) -> None:
    from django.db import close_old_connections

    from instances.models import Instance

    until = time.monotonic() + within
    while (ready := Instance.objects.filter(state="ready").count()) < count:
        if time.monotonic() > until:
            raise SystemExit(f"after {within:.0f} s only {ready} of {count} are ready")
        time.sleep(0.5)
        close_old_connections()


def ticks(cloud: FaultyCloud) -> None:
    """Looks at a cloud with so many instances, of which none, 1 % and 2 % have changed."""
    from instances.models import Cloud

    _settle_down(cloud)
    _many(cloud, Cloud.objects.get())
    _tick()
    still = [_measured(cloud, {}) for _ in range(ROUNDS)]
    changing = [_measured(cloud, _stopping(n, INSTANCES // 100)) for n in range(ROUNDS)]
    twice = [_measured(cloud, _stopping(ROUNDS + 2 * n, INSTANCES // 50)) for n in range(ROUNDS)]
    for what, some in (("nothing changed", still), ("1 % changed", changing), ("2 % changed", twice)):
        report(f"tick, {what}: processor time", median(some, "seconds"), TICK, "s")
        report(f"tick, {what}: lists asked for", max(one["lists"] for one in some), 1.5, "")
        report(f"tick, {what}: calls about single instances", max(one["calls"] for one in some), 1, "")
    report("tick, nothing changed: rows written", median(still, "rows"), 5, "")
    per_change = median(changing, "rows") / (INSTANCES // 100)
    report("tick, 1 % changed: rows written for each change", per_change, 6, "")
    growth = median(twice, "rows") / median(changing, "rows")
    report("tick, 2 % changed: rows written, of those at 1 %", growth, 2.2, "×")


def _settle_down(cloud: FaultyCloud) -> None:
    """The rush's instances go; what is measured next has the tables to itself."""
    from django.db import connection

    from instances.models import Cloud

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE instances_instance, procrastinate_jobs CASCADE")
    Cloud.objects.update(settings=cloud.settings)


def _many(cloud: FaultyCloud, row: Any) -> None:
    """Rows and servers of one another, all running."""
    from auth.models import User
    from instances.models import Environment, Flavour, Instance

    owners = list(User.objects.filter(username__startswith="user"))
    environment, flavour = Environment.objects.get(slug="desktop"), Flavour.objects.get(slug="s")
    made = [
        Instance(
            name=f"Instance {n}",
            owner=owners[n % len(owners)],
            environment=environment,
            flavour=flavour,
            cloud=row,
            state="ready",
            phase="running",
            observed_generation=1,
            apps_ready=["desktop"],
        )
        for n in range(INSTANCES)
    ]
    servers = [
        {"deployment": DEPLOYMENT, "instance": one.key, "name": one.name, "image": "desktop", "apps": ["desktop"]}
        | {"generation": 1, "status": "running"}
        for one in made
    ]
    for one, reference in zip(made, cloud.holds(servers), strict=True):
        one.reference = reference
    Instance.objects.bulk_create(made, batch_size=1000)


def _stopping(n: int, count: int) -> dict[str, str]:
    """The next so many end by themselves."""
    from instances.models import Instance

    first = n * (INSTANCES // 100)
    some = Instance.objects.order_by("pk").values_list("pk", flat=True)[first : first + count]
    return {pk.hex: "stopped" for pk in some}


def _measured(cloud: FaultyCloud, changes: dict[str, str]) -> dict[str, float]:
    cloud.changes(changes)
    cloud.counts_anew()
    rows = _rows_written()
    seconds = _tick()
    calls = dict(cloud.told()["calls"])
    lists = calls.pop("list", 0)
    calls.pop("capacity", 0)  # once a minute
    return {"seconds": seconds, "lists": lists, "calls": sum(calls.values()), "rows": _rows_written() - rows}


def _tick() -> float:
    from instances.reconcile.watch import watch

    begun = time.process_time()
    watch()
    return time.process_time() - begun


def _rows_written() -> int:
    """By anybody, ever; sessions that end have told all of theirs."""
    from django.db import connection

    connection.close()
    connection.close_pool()
    time.sleep(0.3)
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables")
        return int(cursor.fetchone()[0])


def median(some: list[dict[str, float]], what: str) -> float:
    return statistics.median(one[what] for one in some)


def report(what: str, value: float, target: float, unit: str) -> None:
    verdict = "ok" if value < target else "MISSED"
    if value >= target:
        missed.append(what)
    say(f"{what:<56} {value:8.3f} {unit:<2}  target {target:g} {unit}  {verdict}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
