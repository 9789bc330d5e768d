"""The scripts run and print what they say they print; how fast they are is for people to read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flatspot.activations import ACTIVATIONS

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_the_monitors_bench_prints_both_tables(tmp_path):
    command = [sys.executable, SCRIPTS / "bench_monitors.py", "--rounds", "2", "--epochs", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert rows == [
        head for table in ("without", "with") for head in (table, "none", "output_diversity", "gradient_norm", "both")
    ]


def test_the_initial_states_are_compared_arm_by_arm(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- arms --><!-- arms -->\n\nafter\n")
    options = ["--seeds", "1", "--epochs", "1", "--windows", "3", "--page", str(page)]
    command = [sys.executable, SCRIPTS / "initial_states.py", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    zeros, shared, carried, only_path = rows[2:]
    assert float(zeros[-1]) == 0 < float(carried[-1])
    assert float(shared[-1]) > 0
    assert float(only_path[3]) == 0 < float(zeros[3])
    assert page.read_text().startswith("before")
    assert page.read_text().endswith("after\n")


def test_the_examination_is_written_for_every_cell_and_activation(tmp_path):
    pytest.importorskip("torchrecurrent", reason="the extra zoo is not installed")
    published = SCRIPTS.parent / "docs" / "cells.md"
    page = tmp_path / "cells.md"
    page.write_text("<!-- results --><!-- results -->")
    command = [sys.executable, SCRIPTS / "write_cells_page.py", "--page", page]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert labels(page.read_text()) == labels(published.read_text())
    assert len(labels(page.read_text())) == 2 + 14 + 2 + 3 * 14 + 2 + 33 + 2 + 8


def test_the_data_bench_writes_its_tables(tmp_path):
    page = tmp_path / "data.md"
    page.write_text("before\n<!-- results --><!-- results -->\nafter\n")
    command = [sys.executable, SCRIPTS / "bench_data.py", "--rows", "3000", "--series", "200", "--rounds", "1"]
    done = subprocess.run([*command, "--page", page], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    firsts = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("| ")]
    assert firsts[1].startswith("3,000 rows × 4 numbers")
    assert firsts[2].startswith("3,000 rows × 4 time stamps and numbers")
    assert firsts[4:7] == [
        "the data module's loader",
        "a Dataset of single windows, torch's default loader",
        "indexing by hand, no loader",
    ]
    assert firsts[8:] == ["20", "200"]


def labels(page):
    """The first three cells of each row: rounding may differ between machines, and nothing else."""
    return [line.split("|")[1:4] for line in page.split("<!-- results -->")[1].splitlines() if line.startswith("|")]


def test_the_layers_bench_compares_every_activation(tmp_path):
    command = [sys.executable, SCRIPTS / "bench_layers.py", "--parts", "activations", "--rounds", "1", "--cells", "rnn"]
    done = subprocess.run([*command, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["activations"]["rnn"]) == set(ACTIVATIONS)


def test_denormals_are_measured_engine_by_engine(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before <!-- denormals --><!-- denormals --> after")
    options = ["--steps", "300", "--rounds", "1", "--pairs", "1", "--threads", "1", "--page", page]
    command = [sys.executable, SCRIPTS / "measure_denormals.py", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    assert [row[3] for row in rows[2:]] == ["native", "scan", "fused"] * 2
    shares = {(row[0], row[3]): row[4] for row in rows[2:]}
    assert shares["identity × 0.7", "fused"] == "0%" < shares["identity × 0.7", "scan"]


def test_starting_weights_are_compared_activation_by_activation(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {name} --><!-- {name} -->" for name in ("plain", "others", "gated")))
    options = ["--seeds", "1", "--steps", "2", "--activations", "tanh", "relu", "--gated", "tanh", "--page", page]
    command = [sys.executable, SCRIPTS / "measure_initialisation.py", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("| ")]
    assert rows == ["rnn", "tanh", "relu"] * 2 + ["gru", "tanh", "lstm", "tanh"]
