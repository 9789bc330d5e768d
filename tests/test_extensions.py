"""Another package adds a cell, an activation, a data set, a model and a rule by entry points alone."""

import json
import os
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tests" / "example_package"
SMALL = (
    "trainer.max_epochs=1",
    "model.hidden_size=4",
    "data.window=12",
    "data.horizon=2",
    "hydra.run.dir=run",
    "examine=none",
)


def install(folder, project, source):
    """What pip leaves of a package: its metadata, beside its modules on the path."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return os.pathsep.join([str(folder), str(source)])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    return install(tmp_path_factory.mktemp("site"), project, PACKAGE / "src")


@pytest.fixture
def beside(python, tmp_path):
    """Run a program that finds the packages on a path."""

    def run(path, *arguments):
        return python.run(*arguments, cwd=tmp_path, environment=os.environ | {"PYTHONPATH": path})

    return run


def test_its_things_run_by_their_names(beside, path, tmp_path):
    overrides = ["data=logistic", "data.growth=3.7", "model.cell=mgu", "model.activation=hardswish"]
    done = beside(path, ROOT / "train.py", *SMALL, *overrides)
    assert done.returncode == 0, done.stderr
    assert "test error in population" in done.stdout
    assert "mgu (hardswish, 4 units)" in done.stdout
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "growth: 3.7" in config
    assert "steps: 400" in config


def test_its_rule_is_heard(beside, path, tmp_path):
    done = beside(path, ROOT / "train.py", *SMALL, "data=sines", "optimizer.lr=1e-9", "data.horizon=1")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [finding["cause"] for finding in metrics["findings"]] == ["worse-than-persistence"]
    assert "none was looked for (examine=none)" in done.stdout
    assert "  try first      trainer.max_epochs=200" in done.stdout


def test_its_model_brings_its_own_keys(beside, path, tmp_path):
    small = [word for word in SMALL if "hidden_size" not in word]
    done = beside(path, ROOT / "train.py", *small, "model=last_values", "model.last=3", "model.loss=mae")
    assert done.returncode == 0, done.stderr
    assert "last_values" in done.stdout
    code = (
        "import torch; from flatspot_example.model import LastValues\n"
        "model = LastValues.load_from_checkpoint('run/checkpoints/best.ckpt', weights_only=True)\n"
        "print(model.last, model.linear.in_features, model.hparams['loss'])"
    )
    assert beside(path, "-c", code).stdout.strip() == "3 3 mae"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=logistic", "data.growht=3"], "data.growht: there is no such key; did you mean 'growth'?"),
        (["data=logistic", "data.growth=5"], "data.growth=5.0: must lie between 0 and 4"),
        (["data=logistic", "data.growth=fast"], "data.growth: Value 'fast'"),
        (["data=logistik"], "data=logistik: there is no such choice; did you mean 'logistic'?"),
        (["model=last_values", "model.lasst=3"], "model.lasst: there is no such key; did you mean 'last'?"),
        (["model=last_values", "model.last=many"], "model.last: Value 'many'"),
        (
            ["model.cell=mgv"],
            "no cell is called 'mgv'; did you mean 'mgu'? (known: gru, lstm, mgu, rnn; with the",
        ),
    ],
)
def test_its_keys_are_checked_like_ours(beside, path, tmp_path, overrides, sentence):
    refused = beside(path, ROOT / "train.py", *overrides)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_its_things_may_be_chosen_by_an_experiment_or_in_quotes(beside, path, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /data: logistic\n  - override /model: last_values\n"
    (tmp_path / "mine" / "experiment" / "theirs.yaml").write_text(text)
    small = [word for word in SMALL if "hidden_size" not in word]
    chosen = ["--config-dir", "mine", "experiment=theirs", "data.growth=3.7"]
    done = beside(path, ROOT / "train.py", *small, *chosen)
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "growth: 3.7" in config
    assert "last: 2" in config
    assert "loss: mse" in config
    quoted = beside(path, ROOT / "train.py", "data='logistic'", "--cfg", "job")
    assert "growth: 3.9" in quoted.stdout, quoted.stderr


def test_its_cell_sits_the_examination(beside, path, tmp_path):
    code = """
from flatspot.activations import ACTIVATIONS
from flatspot.nn.cells import CELLS
from flatspot.nn.examination import examine_cell
from flatspot_example.cell import equation
for row in ACTIVATIONS.values():
    found = examine_cell(CELLS["mgu"], row, equation)
    assert max(found.steps, found.equation, found.neighbours, found.future) < 1e-10, found
    assert found.gradient < 1e-6 and found.activation > 1e-3, found
print(len(ACTIVATIONS))
"""
    done = beside(path, "-c", code)
    assert done.stdout.strip() == "15", done.stderr


@pytest.fixture
def broken(tmp_path):
    """A package whose entry points lead nowhere, or to the wrong thing."""
    entries = {
        "flatspot.cells": {"gone": "no_such_module:CELL", "text": "os:sep"},
        "flatspot.datasets": {"number": "os:cpu_count"},
        "flatspot.models": {"plain": "collections:OrderedDict"},
        "flatspot.rules": {"faulty": "json:loads", "blind": "os:getcwd"},
    }
    return install(tmp_path / "site", {"name": "broken", "version": "1", "entry-points": entries}, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "code", "sentence"),
    [
        (["model.cell=gone"], 2, "the cell 'gone' of broken cannot be loaded: ModuleNotFoundError"),
        (["model=plain"], 2, "model=plain: OrderedDict is no flatspot ForecastModule"),
        (["model.cell=text"], 2, "the cell 'text' of broken is no Cell: '/'"),
        (["data=number"], 3, "the data set number gave no Series or Panel"),
    ],
)
def test_a_broken_package_is_named(beside, broken, tmp_path, overrides, code, sentence):
    small = [word for word in SMALL if "hidden_size" not in word]
    refused = beside(broken, ROOT / "train.py", *small, *overrides)
    assert refused.returncode == code
    assert sentence in refused.stderr


def test_a_broken_rule_ends_no_run(beside, broken, tmp_path):
    done = beside(broken, ROOT / "train.py", *SMALL)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["not_examined"]["faulty"] == "'s' was not measured"
    assert "and no Finding" in metrics["not_examined"]["blind"]


def test_two_packages_with_one_name_are_both_named(beside, tmp_path):
    entries = {"flatspot.cells": {"mgu": "os:sep"}}
    for name in ("first", "second"):
        install(tmp_path / "site", {"name": name, "version": "1", "entry-points": entries}, tmp_path)
    refused = beside(str(tmp_path / "site"), ROOT / "train.py", *SMALL, "model.cell=mgu")
    assert refused.returncode == 2
    assert "two packages add the cell 'mgu': " in refused.stderr
