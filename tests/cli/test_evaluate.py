"""`flatspot evaluate`, through its command line."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.run import load

HOUR = np.timedelta64(1, "h")


def table(lengths, start="2024-01-01"):
    rng = np.random.default_rng(0)
    frames = [
        pl.DataFrame(
            {
                "id": f"shop {name}",
                "time": np.datetime64(start, "us") + np.arange(length) * HOUR,
                "sold": 10 * number + np.sin(np.arange(length) / 4) + rng.normal(size=length),
            }
        )
        for number, (name, length) in enumerate(lengths.items())
    ]
    return pl.concat(frames)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("läden und daten")
    table({"a": 90, "b": 120}).write_csv(folder / "mine.csv")
    table({"a": 40, "neu": 30}, "2024-02-01").write_csv(folder / "new rows.csv")
    table({"a": 9, "b": 9}).write_csv(folder / "short.csv")
    table({"a": 90, "b": 120}).rename({"sold": "x"}).write_csv(folder / "other.csv")
    return folder


@pytest.fixture(scope="module")
def run(run_of, folder):
    keys = ("data.group=id", "data.target=sold", "data.window=8", "data.horizon=3", "data.season=6")
    return run_of("data=csv", f"data.path='{folder / 'mine.csv'}'", *keys)


@pytest.fixture(scope="module")
def classifier(run_of):
    return run_of("data=frequency_classes", "data.count=60", "model=classifier")


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.parametrize("which", ["run", "classifier"])
def test_as_json_the_figures_are_those_of_the_run(request, which):
    run = request.getfixturevalue(which)
    done = evaluate(run, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    kept = metrics(run)
    details = {"by_step", "by_series", "baseline_by_series"} if which == "run" else {"classes", "confusion"}
    assert set(found) == {"test", "baseline", *details}
    for figure, value in found.items():
        assert value == kept[figure]


def test_a_table_tells_the_errors_beside_the_baselines_by_step_and_by_series(run, folder):
    done = evaluate(run)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"data    {folder / 'mine.csv'}: 210 rows, {12 + 16} windows"
    text = [line.split() for line in lines]
    kept = metrics(run)
    title = next(line for line in lines if "error in sold" in line)
    assert title == title.lstrip()
    assert any(line.startswith(f"{kept['about']['model']}  ") for line in lines)  # as in the run's own table
    for name in ("rnn (tanh, 4 units)", "ridge", "seasonal persistence", "persistence", "training mean"):
        assert any(line.startswith(name) for line in lines)
    steps = text.index(["MAE", "at", "step", "1", "2", "3"])
    model = next(line for line in text[steps:] if line[0] == "model")
    assert [float(each) for each in model[1:]] == pytest.approx(kept["by_step"]["model"]["mae"], rel=1e-3)
    series = next(number for number, line in enumerate(lines) if line.startswith("by series"))
    told = [line for line in lines[series:] if line.startswith("shop")]
    worst = sorted(kept["by_series"], key=lambda name: -kept["by_series"][name]["mase"])
    assert [line.split("  ")[0] for line in told] == worst


def test_who_was_taken_for_whom_is_told_of_a_classifier(classifier):
    done = evaluate(classifier)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("data    frequency_classes: ")
    assert lines[0].endswith(" rows, 9 series")
    assert any(line.startswith("commonest class") for line in lines)
    (head,) = [number for number, line in enumerate(lines) if line.startswith("true \\ named")]
    assert lines[head].split()[3:] == ["f=0.05", "f=0.1", "f=0.2"]
    rows = {line.split()[0]: [int(each) for each in line.split()[1:]] for line in lines[head + 1 :] if "f=" in line}
    assert list(rows.values()) == metrics(classifier)["confusion"]


def test_another_file_is_evaluated_whole(run, folder):
    path = folder / "new rows.csv"
    done = evaluate(run, "--data", path, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    expected = load(run).evaluate(path)
    assert found["test"] == expected.scores()
    assert set(found["by_series"]) == {"shop a", "shop neu"}
    told = evaluate(run, "--data", path).stdout
    assert f"{path}: 70 rows, {30 + 20} windows" in told
    assert "note" not in told


def test_rows_of_the_time_that_was_trained_on_are_noted(run, folder):
    told = evaluate(run, "--data", folder / "mine.csv").stdout
    until = str(np.datetime64("2024-01-01T00:00:00") + 83 * HOUR).replace("T", " ")
    assert f"note    rows up to {until} are of the time that was trained on" in told


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nope.csv", "nope.csv: there is no such file"),
        ("other.csv", "other.csv: has no column 'sold' (data.target); "),
        ("short.csv", "short.csv: 2 of 2 series have fewer than 11 rows ('shop a', 'shop b')"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(run, folder, data, message):
    done = evaluate(run, "--data", folder / data)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_tiny_numbers_are_numbers_again_afterwards(run, folder):
    for arguments in ((run,), (folder,)):
        evaluate(*arguments)
        assert torch.tensor(1e-40) * 1 > 0


def test_a_folder_without_a_run_is_told_in_a_sentence(folder):
    for path, message in ((folder / "none", "there is no such run folder"), (folder, "holds no checkpoints/best.ckpt")):
        done = evaluate(path)
        assert done.exit_code == 2
        assert f"error: {path}: {message}" in done.stderr


def test_the_script_evaluates_from_any_folder(run, python, tmp_path):
    done = python.run(Path(sys.executable).parent / "flatspot", "evaluate", run, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["test"] == metrics(run)["test"]
    assert list(tmp_path.iterdir()) == []
