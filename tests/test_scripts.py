"""The scripts run and print what they say they print; how fast they are is for people to read."""

import json
import runpy
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from flatspot.activations import ACTIVATIONS

pytestmark = pytest.mark.long

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def script(python, tmp_path):
    """What a script prints."""

    def run(name, *options):
        done = python.run(SCRIPTS / name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def measured(script, monkeypatch):
    """Run a script here; the processes that it measures in are still their own."""

    def own(command, **_):
        assert command[0] == sys.executable
        return subprocess.CompletedProcess(command, 0, script(*command[1:]))

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        monkeypatch.setattr(subprocess, "run", own)
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")

    return run


@pytest.mark.thorough
def test_the_monitors_bench_prints_its_table(script, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    printed = script("bench_monitors.py", "--rounds", "2", "--epochs", "1", "--rows", "300")
    rows = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("| ")]
    ours = ["output_diversity", "gradient_norm", "activation", "doctor"]
    assert rows == ["callbacks", "none", *ours, "all (default)", "norm of each parameter", "wandb.watch"]


def test_the_initial_states_are_compared_arm_by_arm(script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n\n<!-- arms --><!-- arms -->\n\nafter\n")
    script("initial_states.py", "--seeds", "1", "--epochs", "1", "--windows", "3", "--page", page)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    zeros, shared, carried, only_path = rows[2:]
    assert float(zeros[-1]) == 0 < float(carried[-1])
    assert float(shared[-1]) > 0
    assert float(only_path[3]) == 0 < float(zeros[3])
    assert page.read_text().startswith("before")
    assert page.read_text().endswith("after\n")


def test_the_data_bench_writes_its_tables(measured, tmp_path):
    page = tmp_path / "data.md"
    page.write_text("before\n<!-- results --><!-- results -->\nafter\n")
    measured("bench_data.py", "--rows", "3000", "--series", "200", "--rounds", "1", "--page", page)
    firsts = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("| ")]
    assert firsts[1].startswith("3,000 rows × 4 numbers")
    assert firsts[2].startswith("3,000 rows × 4 time stamps and numbers")
    assert firsts[4:7] == [
        "the data module's loader",
        "a Dataset of single windows, torch's default loader",
        "indexing by hand, no loader",
    ]
    assert firsts[8:] == ["20", "200"]


def test_the_layers_bench_compares_every_activation(script):
    printed = script("bench_layers.py", "--parts", "activations", "--rounds", "1", "--cells", "rnn", "--json")
    assert set(json.loads(printed)["activations"]["rnn"]) == set(ACTIVATIONS)


def test_denormals_are_measured_engine_by_engine(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before <!-- denormals --><!-- denormals --> after")
    options = ("--steps", 300, "--rounds", 1, "--pairs", 1, "--threads", 1, "--page", page)
    measured("measure_denormals.py", *options)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if "|" in line]
    assert [row[3] for row in rows[2:]] == ["native", "scan", "fused"] * 2
    shares = {(row[0], row[3]): row[4] for row in rows[2:]}
    assert shares["identity × 0.7", "fused"] == "0%" < shares["identity × 0.7", "scan"]


def test_starting_weights_are_compared_activation_by_activation(script, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {name} --><!-- {name} -->" for name in ("plain", "others", "gated")))
    options = ["--seeds", "1", "--steps", "2", "--activations", "tanh", "relu", "--gated", "tanh", "--page", page]
    script("measure_initialisation.py", *options)
    rows = [line.split("|")[1].strip() for line in page.read_text().splitlines() if line.startswith("| ")]
    assert rows == ["rnn", "tanh", "relu"] * 2 + ["gru", "tanh", "lstm", "tanh"]


@pytest.fixture
def loaded(monkeypatch):
    """What a script defines, without running it."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return lambda name: SimpleNamespace(**runpy.run_path(str(SCRIPTS / name)))


def test_the_growth_bench_measures_a_point_and_tells_slopes(loaded):
    bench = loaded("bench_growth.py")
    threads = torch.get_num_threads()
    try:
        cost = bench.measure(bench.Point(cell="rnn", hidden=4, window=8, rows=2000, steps=bench.WARM + 3))
    finally:
        torch.set_num_threads(threads)
    assert cost.step > 0 < cost.before
    points = [bench.Point(window=each) for each in (10, 100)]
    table = bench.lines("window", points, [bench.Cost(0.001, 50.0, 1.0), bench.Cost(0.01, 500.0, 1.0)])
    cells = [cell.strip() for cell in table[-1].split("|")]
    assert cells[1:9:2] == ["100", "100.0", "1.00", "1.00"]
    assert cells[4] == "1.00"
    assert bench.slope([1, 10], [1, 100]) == pytest.approx(2)


def test_starts_are_held_against_what_stands_beside_them_in_the_same_round(loaded):
    bench = loaded("bench_start.py")
    asked = [bench.Command("a", ("a",)), bench.Command("b", ("b",), "a", "+ 1 s")]
    assert bench.table({"a": [1.0, 2.0, 3.0], "b": [2.0, 8.0, 6.0]}, asked)[2:] == [
        "| `a` | 2.00 |  |  |  |  |",
        "| `b` | 6.00 | a | 3.00 | 2.00 | + 1 s |",
    ]


def test_peers_are_compared_round_by_round(loaded, tmp_path):
    bench = loaded("bench_peers.py")
    ours = {"seconds": 1.0, "steps": 100, "fit_seconds": 3.0, "all_steps": 150, "mae": 1.0, "windows": 5}
    theirs = ours | {"seconds": 4.0, "fit_seconds": 6.0, "mae": 2.0}
    rows = bench.rows_of("gru", 1, {"flatspot": [ours, ours], "other": [theirs, theirs | {"seconds": 8.0}]})
    assert [each.strip() for each in rows[1].split("|")[3:8]] == [
        *("other", "60.0", "40.0", "6.0 (4.0 to 8.0)", "2.0 (2.0 to 2.0)"),
    ]


def test_flatspot_answers_as_the_other_adapters_do(loaded, tmp_path):
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(300)]
    path = tmp_path / "series.csv"
    path.write_text("date,OT\n" + "".join(f"{day},{number % 7 + number % 3}\n" for number, day in enumerate(days)))
    asked = {"path": str(path), "target": "OT", "cell": "rnn", "threads": 1, "seed": 0, "epochs": 20}
    sizes = {"window": 12, "horizon": 3, "hidden": 4}
    found = loaded("bench_peers.py").trained("flatspot", sys.executable, asked | sizes)
    assert found["all_steps"] == 20 * 4
    assert found["steps"] == found["all_steps"] - 50
    assert found["windows"] == 45 - 3 + 1
    assert 0 < found["seconds"] < found["fit_seconds"]
    assert found["mae"] > 0
