"""The scripts run and print what they say they print; how fast they are is for people to read."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_the_monitors_bench_prints_both_tables(tmp_path):
    command = [sys.executable, SCRIPTS / "bench_monitors.py", "--rounds", "2", "--epochs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert rows == [
        head for table in ("without", "with") for head in (table, "none", "output_diversity", "gradient_norm", "both")
    ]
