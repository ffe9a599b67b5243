"""200 launches, stops, starts, restarts and deletes while workers are killed, PostgreSQL crashes and the cloud lies.

`make chaos SEEDS="1 2 3"` runs others than these; seeds.md tells what each of them has found.
"""

import subprocess
import sys

import pytest

from tests.faulty.process import ROOT
from tests.portal import clean_environment

SEEDS = [1, 2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_end_everything_is_as_people_were_promised(seed: int) -> None:
    command = [sys.executable, "-m", "tests.chaos.run", str(seed)]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
