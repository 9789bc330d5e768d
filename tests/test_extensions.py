"""Another package adds a cell, an activation, a data set, a model and a rule by entry points alone."""

import json
import os
import tomllib

import pytest
from pages import ROOT, taken

PACKAGE = ROOT / "tests" / "example_package"
SMALL = (
    "trainer.max_epochs=1",
    "model.hidden_size=4",
    "data.window=12",
    "data.horizon=2",
    "hydra.run.dir=run",
    "examine=none",
    "report=none",
    "logger=none",
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


def blocks(kind, page):
    return [block.text for block in taken("packaged", page) if block.kind == kind]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The package that the pages tell how to write; what they leave to the example is taken from there."""
    folder = tmp_path_factory.mktemp("told")
    package, example = folder / "my_package", PACKAGE / "src" / "flatspot_example"
    package.mkdir()
    cell, _ = blocks("python", "docs/how-to/new-cell.md")
    (data,), (rule,) = (blocks("python", f"docs/how-to/new-{kind}.md") for kind in ("data-set", "rule"))
    texts = {"__init__": "", "cell": cell, "data": data, "rules": rule}
    texts |= {
        name: (example / f"{of}.py").read_text() for name, of in {"functions": "activation", "model": "model"}.items()
    }
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    (entries,) = blocks("toml", "README.md")
    project = {"name": "my-package", "version": "1"} | tomllib.loads(entries)["project"]
    return install(tmp_path_factory.mktemp("told_site"), project, folder)


def test_the_pages_name_the_same_entry_points():
    (entries,) = map(tomllib.loads, blocks("toml", "README.md"))
    assert {group.partition(".")[2] for group in entries["project"]["entry-points"]} == set(NAMED)
    for told in map(tomllib.loads, blocks("toml", "docs/how-to/*.md")):
        assert told["project"]["entry-points"].items() <= entries["project"]["entry-points"].items()


NAMED = {
    "cells": "model.cell=mgu",
    "activations": "model.activation=hardswish",
    "datasets": "data=logistic data.growth=3.7",
    "models": "model=last_values model.last=3",
    "rules": "",
}
"""What the pages say of a thing of each kind; a rule has no key."""


def test_the_package_that_the_pages_tell_runs_by_its_names(beside, told):
    words = " ".join(each for kind, each in NAMED.items() if kind != "models").split()
    done = beside(told, ROOT / "train.py", *SMALL, *words)
    assert done.returncode == 0, done.stderr
    assert "mgu (hardswish, 4 units)" in done.stdout
    assert "test error in population" in done.stdout
    composed = beside(told, ROOT / "train.py", *NAMED["models"].split(), "--cfg", "job")
    assert "last: 3" in composed.stdout, composed.stderr


def test_its_cell_sits_the_examination_that_is_shown_and_its_rule_judges(beside, told):
    _, shown = blocks("python", "docs/how-to/new-cell.md")
    judged = """
from flatspot.diagnosis import Rule, consult
from flatspot.rules import RULES
name = "worse-than-persistence"
rules = {name: Rule(name, RULES[name])}
(found,), _ = consult(rules, {"test/mae": 3.0, "baseline/persistence/mae": 2.0})
assert consult(rules, {"test/mae": 2.0, "baseline/persistence/mae": 3.0})[0] == ()
print(len(ACTIVATIONS), found.cause)
"""
    given = "from my_package.cell import MGU\nfrom flatspot_example.cell import equation\n"
    done = beside(os.pathsep.join([told, str(PACKAGE / "src")]), "-c", f"{given}{shown}{judged}")
    assert done.stdout.strip() == "15 worse-than-persistence", done.stderr


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
