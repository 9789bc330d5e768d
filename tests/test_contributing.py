"""What CONTRIBUTING.md promises: its examples are made in a copy of the source, and the files are counted."""

import ast
import json
import os
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path
from textwrap import indent

import pytest
import yaml
from pages import ROOT, taken

import flatspot
from flatspot.activations import ACTIVATIONS
from flatspot.data.datasets import DATASETS
from flatspot.nn.cells import CELLS
from flatspot.rules import RULES

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "RELEASING.md")]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

BLOCKS = {
    (path, " ".join(place.split())): block
    for path, place, block in re.findall(r"`([\w./]+)`(?:,([\w'\s]+))?:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
}
"""The examples, by the file that they are for and the place in it."""

TAKES = {
    "rule": ["src/flatspot/rules/worse_than_persistence.py"],
    "activation": ["src/flatspot/activations.py"],
    "cell": ["src/flatspot/nn/leaky.py", "src/flatspot/nn/cells.py"],
    "probe": ["src/flatspot/probes/bias.py"],
    "data set": ["src/flatspot/data/generate.py", "src/flatspot/data/datasets.py", "conf/data/square_wave.yaml"],
    "experiment": ["conf/experiment/does_depth_help.yaml"],
    "what is written beside them": ["src/flatspot/nn/examination.py", "tests/probes/test_bias.py"],
}
"""The files of each example; all others stay as they are."""

PLACES = {
    "above the table": "\ninf: Final",
    "in the table": '        "sin": ',
    "among the imports": "from flatspot.nn.lstm",
    "above the equations' table": "\nEQUATIONS: Final",
}
"""What a block goes in front of."""

ROWS = {
    "src/flatspot/nn/cells.py": {'"lstm": LSTM': '"lstm": LSTM, "leaky": LEAKY'},
    "src/flatspot/nn/examination.py": {'"rnn": rnn_equation': '"leaky": leaky_equation, "rnn": rnn_equation'},
    "src/flatspot/data/datasets.py": {
        "    sines,\n": "    sines,\n    square_wave,\n",
        '"sines": sines,': '"sines": sines, "square_wave": square_wave,',
    },
}
"""What CONTRIBUTING.md says in words: the rows of lists."""

IN_WORDS = {"src/flatspot/data/datasets.py"}
"""Files that take nothing but such rows."""

KINDS = {
    "rule": [cause for cause in RULES if cause not in RULES.added()],
    "activation": list(ACTIVATIONS),
    "cell": list(CELLS),
    "probe": [path.stem for path in (ROOT / "src" / "flatspot" / "probes").glob("[!_]*.py")],
    "data set": list(DATASETS),
    "experiment": [path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")],
}
"""The names of all things of a kind."""

PROGRAM = """
import doctest, json, runpy
import torch
from hydra import compose, initialize_config_dir
import flatspot, flatspot.probes.bias
from flatspot.activations import ACTIVATIONS
from flatspot.cli.schema import checked
from flatspot.cli.help import conf_dir
from flatspot.data.datasets import DATASETS
from flatspot.models.forecaster import Forecaster
from flatspot.nn.cells import CELLS
from flatspot.nn.examination import EQUATIONS, examine_cell
from flatspot.rules import RULES, worse_than_persistence

def config(*overrides, **options):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(overrides), **options)

rule, row, own = RULES["worse-than-persistence"], ACTIVATIONS["hardswish"], worse_than_persistence
model = Forecaster(inputs=1, targets=1, horizon=2, cell="leaky", activation="hardswish", hidden_size=3)
sat = examine_cell(CELLS["leaky"], row, EQUATIONS["leaky"])
test = runpy.run_path("tests/probes/test_bias.py")["test_equals_its_slow_twin"]
data = checked(config("data=square_wave", "data.period=30")).data
question = "experiment=does_depth_help"
params = config(question, return_hydra_config=True).hydra.sweeper.params
arms = [f"{key}={str(values).split(',')[-1]}" for key, values in params.items()]
z = torch.linspace(-8, 8, 1001, requires_grad=True)
print(json.dumps({
    "source": flatspot.__file__,
    "configs": str(conf_dir()),
    "rule": [rule.judge(**own.SICK).cause, rule.judge(**own.WELL), rule.page.count("## ")],
    "activation": torch.equal(torch.autograd.grad(row.function(z).sum(), z)[0], row.slope(z)),
    "runs": list(model(torch.randn(2, 5, 1)).shape),
    "cell": max(sat.steps, sat.equation, sat.neighbours, sat.future) < 1e-10 and sat.activation > 1e-3,
    "probe": [doctest.testmod(flatspot.probes.bias).attempted, *[test(seed) for seed in range(2)]],
    "data set": [data.period, DATASETS[data.name](period=data.period).values[:60].sum()],
    "experiment": checked(config(question, *arms)).model.num_layers,
}))
"""


def files(folder):
    """What stands in each file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def put(folder, path):
    """Make one file as CONTRIBUTING.md has it, or change it so."""
    file, blocks = folder / path, {place: block for (one, place), block in BLOCKS.items() if one == path}
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for place, block in blocks.items():
        anchor = PLACES.get(place, "")
        assert text.count(anchor) == 1 or not anchor, (path, place)
        put_in = indent(block, " " * 8) if place == "in the table" else block
        text = text.replace(anchor, put_in + anchor) if anchor else text + "\n\n" * bool(text) + put_in
    for row, rows in ROWS.get(path, {}).items():
        assert text.count(row) == 1, (path, row)
        text = text.replace(row, rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the source with all examples, and the files that each of them changed."""
    folder, changed = tmp_path_factory.mktemp("copy"), {}
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, paths in TAKES.items():
        before = files(folder)
        for path in paths:
            put(folder, path)
        after = files(folder)
        changed[kind] = {path for path in after if after[path] != before.get(path)}
    return folder, changed


def table():
    """The leading figures of each row of the table of what is touched."""
    rows = [line.strip("|").split("|") for line in GUIDE.splitlines() if re.match(r"\| [a-z ]+ \| \d", line)]
    return {row[0].strip(): [int(re.match(r" *(\d+)", cell)[1]) for cell in row[1:]] for row in rows}


def told_lists(kind):
    (told,) = re.findall(rf"^- {kind}(?: \([^)]*\))?: (.*?)(?=^- |\n\n)", GUIDE, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", told))


@cache
def said(path):
    """All words of a YAML file; of a module, the strings in its code, docstrings apart."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        return frozenset(re.findall(r"[\w-]+", text))
    tree = ast.parse(text)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return frozenset(node.value for node in strings if id(node) not in bare)


def lists(kind):
    """The files that name every thing of a kind."""
    folders = ["src", "conf", "scripts", *(["tests"] if kind != "cell" else [])]
    paths = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in {".py", ".yaml"}]
    found = {str(path.relative_to(ROOT)) for path in paths if said(path).issuperset(KINDS[kind])}
    return found - {"src/flatspot/activations.py"}  # an activation is its row there


def test_the_table_has_every_kind():
    assert set(table()) == set(KINDS)
    assert sorted(BLOCKS.values()) == sorted(block.text for block in taken("made"))
    assert {path for path, _ in BLOCKS} == {path for paths in TAKES.values() for path in paths} - IN_WORDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_lists_are_those_that_are_told(kind):
    assert lists(kind) == told_lists(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_files_are_touched_as_are_told(made, kind):
    _, changed = made
    assert changed[kind] == set(TAKES[kind])
    assert table()[kind][:2] == [len(changed[kind]), len(changed[kind] & lists(kind))]


def test_the_examples_run(made, python):
    folder, _ = made
    done = python.run("-c", PROGRAM, cwd=folder, environment=os.environ | {"PYTHONPATH": str(folder / "src")})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found.pop("source")).is_relative_to(folder)
    assert Path(found.pop("configs")) == folder / "conf"
    assert found == {
        "rule": ["worse-than-persistence", None, 4],
        "activation": True,
        "runs": [2, 2, 1],
        "cell": True,
        "probe": [3, None, None],
        "data set": [30, 0.0],
        "experiment": 3,
    }


def test_no_rule_is_named_outside_of_the_rules():
    """But by what a rule of another cause would explain; the examination knows none of them."""
    package = ROOT / "src" / "flatspot"
    others = [path for path in package.rglob("*.py") if "rules" not in path.parts]
    assert {path.name for path in others if len(said(path) & set(KINDS["rule"])) > 2} == set()


def test_an_experiment_is_named_by_its_file_alone():
    paths = [path for name in ("src", "conf") for path in (ROOT / name).rglob("*") if path.suffix in {".py", ".yaml"}]
    assert not [path for path in paths if said(path) & set(KINDS["experiment"])]


def test_a_made_data_sets_example_has_its_knobs_in_ten_lines():
    text = BLOCKS["conf/data/square_wave.yaml", ""]
    assert len(text.splitlines()) <= 10
    function = ast.parse(BLOCKS["src/flatspot/data/generate.py", "below the others"]).body[0]
    assert list(yaml.safe_load(text)) == ["name", *(each.arg for each in function.args.args)]


def test_the_checks_are_those_of_ci():
    (block,) = (block.text for block in taken("held") if block.kind == "console")
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    first, *others = block.splitlines()
    assert first == "pytest"
    assert others
    assert set(others) <= set(run)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setting_up, _ = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    assert setting_up == "".join(re.findall(r"```bash\n(.*?)```", readme, re.DOTALL))


def test_the_house_is_that_of_the_contract():
    (block,) = (block.text for block in taken("held") if block.kind == "text")
    (contract,) = (each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    assert [re.split(r"\s{2,}", line)[0] for line in block.splitlines()] == contract["layers"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere_and_no_line_is_long(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert links
    assert all((ROOT / link).exists() for link in links)
    assert max(map(len, text.splitlines())) <= 140


def test_every_file_that_is_told_is_there():
    told = set(re.findall(r"`((?:src|conf|scripts|tests|docs)/[\w./]+\.\w+)`", GUIDE))
    ours = {path for paths in TAKES.values() for path in paths} | {"docs/experiments/does_depth_help.md"}
    assert len(told) > 20
    assert not [path for path in told - ours if not (ROOT / path).exists()]


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert set(cited) >= {"cff-version", "message", "title", "authors"}  # what the format requires
    assert cited["cff-version"] == "1.2.0"
    assert cited["type"] == "software"
    assert cited["title"] == PROJECT["project"]["name"]
    assert cited["version"] == PROJECT["project"]["version"] == flatspot.__version__
    assert cited["license"] == PROJECT["project"]["license"]
    assert all(author["name"] for author in cited["authors"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_takes(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"]
    assert form["description"]
    assert {each["type"] for each in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    asked = [each for each in form["body"] if each["type"] != "markdown"]
    assert all(each["attributes"]["label"] for each in asked)
    assert len({each["id"] for each in asked}) == len(asked)
    if path.stem != "feature":
        assert {"command", "versions"} <= {each["id"] for each in asked}


def test_a_form_asks_what_the_doctor_says():
    assert [path.stem for path in TEMPLATES] == ["bug", "feature", "question_flat_outputs"]
    text = TEMPLATES[2].read_text(encoding="utf-8")
    assert "flatspot doctor RUN --json" in text
    assert "report.to_json()" in text
