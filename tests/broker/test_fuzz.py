"""Coverage-guided noise for what reads the wire: no crash, nothing forbidden comes out, nothing grows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.portal import ROOT

SECONDS = 10


@pytest.mark.parametrize("target", ["filter", "frames", "censor"])
def test_noise_breaks_nothing(target: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.broker.fuzz", target, f"-max_total_time={SECONDS}"]
    command += ["-max_len=2048", "-rss_limit_mb=512", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10 * SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs and int(runs[1]) > 1000, done.stderr[-500:]
