"""Two processes on the same global batches give the numbers of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("ddp_run.py")


def figures(processes, folder):
    out = folder / f"{processes}.json"
    done = subprocess.run([sys.executable, SCRIPT, str(processes), out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


def test_two_processes_give_the_numbers_of_one(tmp_path):
    one, two = figures(1, tmp_path), figures(2, tmp_path)
    assert one.pop("flushed")
    assert two.pop("flushed"), "a spawned process does not inherit the flag"
    assert two.pop("weights") == pytest.approx(one.pop("weights"), abs=1e-6)
    assert set(one) == set(two)
    assert {"diversity/ratio_val", "diversity/duplicates_val", "gradient/total", "error/mae_val", "loss/val"} <= set(
        one
    )
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=2e-6, abs=1e-6), name
