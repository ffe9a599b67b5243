"""`python -m tests.chaos.run SEED…`: people ask for 200 instances and change their minds, while everything breaks.

The portal's services, three real worker processes, a real PostgreSQL and a cloud with faults. Then the faults end, and
within SETTLING seconds all must be as people were promised. Prints what happened; returns 1 when something is not so.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import django

from tests.faulty.faults import Storm
from tests.faulty.process import ROOT, FaultyCloud
from visa.machine.supervisor import Supervisor

from .postgres import MortalPostgres
from .script import WORKERS, Script, script

if TYPE_CHECKING:
    from .people import People

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
        os.environ |= environment
        django.setup()
        workers = Supervisor({**os.environ}, folder / "logs")
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
    _break(play, postgres, workers, cloud, acting)
    acting.join()
    cloud.recovers()
    say(f"acted: {len(people.wishes)} promises, {people.refused} refusals; faults: {cloud.told()['faults']}")
    return _settles(people, workers, cloud)


def _break(
    play: Script, postgres: MortalPostgres, workers: Supervisor, cloud: FaultyCloud, acting: threading.Thread
) -> None:
    """All that the script has, in the order of time; workers that died are started again meanwhile."""

    def kill(n: int) -> None:
        process = workers.children[n].process
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait()

    events = [(at, lambda n=n: kill(n)) for at, n in play.kills]
    for begin, end, storm in play.storms:
        events += [(begin, lambda storm=storm: cloud.storms(storm)), (end, lambda: cloud.storms(Storm.NONE))]
    events += [(play.crash[0], postgres.crash), (play.crash[1], postgres.start)]
    began = time.monotonic()
    for at, event in sorted(events, key=lambda one: one[0]):
        while time.monotonic() < began + at:
            workers.tend()
            time.sleep(0.05)
        event()
    while acting.is_alive():
        workers.tend()
        time.sleep(0.05)


def _settles(people: "People", workers: Supervisor, cloud: FaultyCloud) -> bool:
    """Whether it does in time. What the cloud still owed must have come, and all must be well for a while."""
    from django.db import close_old_connections

    from .verdict import complaints

    began, well_since = time.monotonic(), None
    while True:
        workers.tend()
        close_old_connections()
        owed = cloud.told()["late"]
        left = people.problems + complaints(people.wishes, cloud.servers())
        now = time.monotonic()
        if left or owed:
            well_since = None
        elif well_since is None:
            well_since = now
        elif now - well_since > 4:
            say(f"settled after {well_since - began:.0f} s")
            return False
        if now - began > SETTLING:
            for line in left[:40]:
                say(line)
                _show_history(line.split(":")[0], cloud)
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
