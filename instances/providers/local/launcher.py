"""The first moments of an instance, which no crash of ours may split.

A detached shell inherits the instance's lock as its standard input, enters the control groups, records its own pid and
start time, and becomes bubblewrap. Whoever takes the lock after a crash of the worker therefore finds either no process
at all or one that is recorded: there is no moment between.
"""

import os
import subprocess
import time
from pathlib import Path

from instances.errors import ProviderError

from .places import Place
from .processes import boot_id, last_run

SCRIPT = r"""
cd "$1" || exit 70
generation=$2 boot=$3 count=$4
shift 4
while [ "$count" -gt 0 ]; do
    echo $$ >"$1" || exit 71
    count=$((count - 1))
    shift
done
echo 300 >/proc/$$/oom_score_adj
read -r stat </proc/$$/stat
started() { echo "${22}"; }
echo "$$ $(started $stat) $generation $boot" >process.new || exit 72
mv -f process.new process || exit 72
umask 002
exec bwrap --json-status-fd 3 --args 4 -- "$@" 3>status 4<arguments </dev/null
"""
RECORDED_WITHIN = 5.0


def launch(
    place: Place, generation: int, options: list[str], command: list[str], groups: list[Path], lock: int
) -> None:
    """Start `command` in a sandbox of `options` and return once it is recorded and runs, or has already ended."""
    (place.path / "arguments").write_bytes(b"".join(os.fsencode(option) + b"\0" for option in options))
    place.status.write_text("")
    words = [str(place.path), str(generation), boot_id(), str(len(groups)), *map(str, groups), *command]
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.run(
            ["setsid", "-f", "sh", "-c", SCRIPT, "visa-instance", *words],
            stdin=lock,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            check=True,
        )
    finally:
        os.close(log)
    _wait(place, generation)


def _wait(place: Place, generation: int) -> None:
    until = time.monotonic() + RECORDED_WITHIN
    while time.monotonic() < until:
        run = last_run(place)
        if run and run.generation == generation and (run.inner or not run.outer.alive()):
            return
        time.sleep(0.005)
    raise ProviderError(f"The instance did not start: {place.last_words() or 'no reason was given'}.", retry=True)
