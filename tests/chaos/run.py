"""`python -m tests.chaos.run SEED`: people ask for 200 instances and change their minds, while everything breaks.

The portal's services, three real worker processes, a real PostgreSQL and a cloud with faults. Then the faults end, and
within SETTLING seconds all must be as people were promised. Prints what happened; returns 1 when something is not so.
"""

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.faulty.faults import Storm
from tests.faulty.process import ROOT, FaultyCloud
from visa.machine.supervisor import Supervisor

from .postgres import MortalPostgres
from .script import LAUNCHES, WORKERS, Script, script

if TYPE_CHECKING:
    from .people import People

BREAKING = 90.0
"""Seconds that things go on breaking at most, and"""
ENOUGH = 0.15
"""the part of the instances that may then still be on their way."""
SETTLING = 100.0
PEOPLE = 12
PATIENCE = 0.6
"""Seconds that the cloud's provider waits for an answer."""


def main(seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="visa-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        postgres = MortalPostgres(folder / "postgres")
        environment = {
            "DATABASE_URL": postgres.database("visa"),
            "DJANGO_SETTINGS_MODULE": "visa.settings",
            "VISA_DATA": str(folder / "data"),
            "VISA_DEPLOYMENT": "chaos",
            "VISA_SECRET_KEY": "chaos",
        }
        workers = Supervisor(os.environ | environment, folder / "logs")
        os.environ |= environment
        django.setup()
        logging.disable()  # what goes wrong here on purpose is no news
        try:
            with FaultyCloud(seed, delay=1.0, patience=PATIENCE) as cloud:
                failed = _run(script(seed, PEOPLE), postgres, workers, cloud)
            if failed:
                _show_logs(folder / "logs")
            say(f"seed {seed}: {'FAILED' if failed else 'all is as it should be'}")
            return int(failed)
        finally:
            workers.stop()
            postgres.stop()


def _run(play: Script, postgres: MortalPostgres, workers: Supervisor, cloud: FaultyCloud) -> bool:
    from .people import People
    from .world import world

    users, experiment = world(cloud.settings, PEOPLE)
    for n in range(WORKERS):
        workers.start(f"worker-{n}", [sys.executable, "-m", "tests.faulty.worker"])
    people = People(users, [experiment], play.stories)
    cloud.has_faults(play.shares)
    acting = threading.Thread(target=people.act)
    acting.start()
    killed = _break(play, postgres, workers, cloud, people, acting)
    told = cloud.told()
    cloud.recovers()
    say(f"acted: {len(people.wishes)} promises, {people.refused} refusals, {killed} workers killed")
    say(f"asked of the cloud: {_counts(told['calls'])}; faults: {_counts(told['faults'])}")
    failed = _settles(people, workers, cloud)
    if deadlocks := postgres.deadlocks():
        say("\n".join(["PostgreSQL had to end deadlocks:", *deadlocks]))
    return failed or bool(deadlocks)


def _counts(of: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(of.items()))


def _break(
    play: Script,
    postgres: MortalPostgres,
    workers: Supervisor,
    cloud: FaultyCloud,
    people: "People",
    acting: threading.Thread,
) -> int:
    """All that the script has, until most of what people want has come true nevertheless; how many workers died."""
    events: list[tuple[float, Callable[[], None]]] = [(play.crash[0], postgres.crash), (play.crash[1], postgres.start)]
    for begin, end, storm in play.storms:
        events += [(begin, partial(cloud.storms, storm)), (end, partial(cloud.storms, Storm.NONE))]
    events.sort(key=lambda one: one[0])
    began = now = time.monotonic()
    killed, (kill_at, victim) = 0, next(play.kills)
    while acting.is_alive() or events or (now < began + BREAKING and _unmet(people, cloud) > ENOUGH * LAUNCHES):
        workers.tend()
        time.sleep(0.2)
        now = time.monotonic()
        if events and now >= began + events[0][0]:
            events.pop(0)[1]()
        if (calls := sum(cloud.told()["calls"].values())) >= kill_at:
            killed += _kill(workers, victim)
            more, victim = next(play.kills)
            kill_at = calls + more
    return killed


def _kill(workers: Supervisor, victim: int) -> bool:
    process = workers.children[victim].process
    if process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return bool(process)


def _unmet(people: "People", cloud: FaultyCloud) -> int:
    """How many instances are not as their owners want them."""
    return len({line.split(":")[0] for line in _left(people, cloud)})


def _left(people: "People", cloud: FaultyCloud) -> list[str]:
    from django.db import close_old_connections

    from .verdict import complaints

    close_old_connections()
    return people.problems + complaints(people.wishes, cloud.servers())


def _settles(people: "People", workers: Supervisor, cloud: FaultyCloud) -> bool:
    """Whether it does in time. What the cloud still owed must have come, and all must be well for a while."""
    began, well_since = time.monotonic(), None
    while True:
        workers.tend()
        owed = cloud.told()["late"]
        left = _left(people, cloud)
        now = time.monotonic()
        if left or owed:
            well_since = None
        elif well_since is None:
            well_since = now
        elif now - well_since > 4:
            say(f"settled after {well_since - began:.0f} s")
            return False
        if now - began > SETTLING:
            for line in left:
                say(line)
            for name in list(dict.fromkeys(line.split(":")[0] for line in left))[:10]:
                _show_history(name, cloud)
            return True
        time.sleep(1)


def _show_history(name: str, cloud: FaultyCloud) -> None:
    from instances.models import Instance

    row = Instance.objects.filter(name=name).first()
    if row is None:
        return
    say(f"   {row.key}: {row.phase}, absences {row.absences}, missing {row.missing_since}, failures {row.failures}")
    for event in row.events.all():
        say(f"   {event.at:%H:%M:%S.%f} {event.before} → {event.after} {event.step} {event.message}")
    for call in cloud.told(row.key)["history"]:
        say(f"   {time.strftime('%H:%M:%S', time.gmtime(call['at']))} {call['verb']} {call['fault'] or ''}")


def _show_logs(folder: Path) -> None:
    for file in sorted(folder.glob("*.log")):
        say(f"--- {file.name}")
        say("\n".join(file.read_text(errors="replace").splitlines()[-60:]))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.chdir(ROOT)
    raise SystemExit(main(int(sys.argv[1])))
