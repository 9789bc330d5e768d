"""What the README and the documentation say is run."""

import re
import shlex
from importlib.util import find_spec

import pytest
from hydra import compose, initialize_config_dir
from pages import ROOT, taken
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.cli.bare import refuse_bare_file
from flatspot.cli.build import TASKS, build_model
from flatspot.cli.help import conf_dir
from flatspot.cli.schema import checked
from flatspot.data.datasets import DATASETS
from flatspot.data.module import SeriesDataModule
from flatspot.diagnosis import EXPLAINED
from flatspot.errors import BadInput

pytestmark = pytest.mark.long

README = (ROOT / "README.md").read_text()


PAGES = sorted((ROOT / "docs").rglob("*.md"))


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


COMMANDS = sorted({line for block in taken("composed") for line in block.text.splitlines()})

EXTRAS = {
    "sweep=ray": "hydra_plugins.hydra_ray_launcher",
    "sweep=slurm": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "sweep=cores": "hydra_plugins.hydra_joblib_launcher",
    "sweep=search": "hydra_plugins.hydra_optuna_sweeper",
}
"""What needs an extra, and the module that it brings."""


def test_it_opens_with_the_two_commands():
    assert [block.text.strip() for block in taken("installed")] == [
        "pip install -c constraints.txt -e . && python train.py",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_and_builds(command):
    words = shlex.split(command)
    if words[0] == "flatspot":
        without_a_run(words[1:])
        return
    assert words[:2] == ["python", "train.py"]
    overrides = [word for word in words[2:] if word != "-m"]
    if overrides and all("=" not in word for word in overrides):  # a file, which is answered with what to type
        with pytest.raises(BadInput, match=f"a file is named by data=csv|: data=csv data.path={overrides[0]}"):
            refuse_bare_file(overrides)
        return
    for extra in EXTRAS.keys() & set(words):
        if find_spec(EXTRAS[extra]) is None:
            pytest.skip(f"{extra} needs an extra that is not installed")
    overrides = [re.sub(r"=range\(\d+\)$", "=0", word) for word in overrides]
    overrides = [re.sub(r"^([\w.]+=[^\[]*?),.*", r"\1", word) for word in overrides]  # of a sweep, the first job
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = checked(compose("train", overrides))
    build_model(config, shaped_for(config["model"]["name"]))


@pytest.mark.parametrize("command", [each for each in COMMANDS if "[" in each])
def test_brackets_stand_in_quotes(command):
    """In zsh they would be a pattern for files."""
    outside = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    assert "[" not in outside


def without_a_run(words):
    """The options are known; what is missing is the run."""
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 2
    assert ": there is no such run folder" in answer.output


def shaped_for(model):
    made = {"classifier": "frequency_classes", "regressor": "adding"}
    if model in made:
        return SeriesDataModule(DATASETS[made[model]](count=60), task=TASKS[model])
    return SeriesDataModule(DATASETS["sunspots"](), window=12, horizon=3)


DROP_IN = blocks("python", (ROOT / "docs" / "monitors.md").read_text())


@pytest.mark.parametrize("program", [block.text for block in taken("run")])
def test_every_program_runs(program, python, tmp_path):
    done = python.run("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tensor(" in done.stdout


def test_the_project_that_is_dropped_into_knows_flatspot_by_one_import_and_one_line():
    (program,) = DROP_IN
    names = re.findall(r"^from flatspot.monitors import (.*)$", program, re.MULTILINE)
    assert program.count("flatspot") == len(names) == 1
    lines = [line for line in program.splitlines() if "import" not in line and re.search("Monitor|Doctor", line)]
    assert len(lines) == 1


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_nothing_is_left_to_fill_in(page):
    assert not re.search("@@|TODO|XXX", page.read_text())


@pytest.mark.parametrize("question", sorted(path.stem for path in conf_dir().glob("experiment/*.yaml")))
def test_every_question_has_a_page_with_figures_and_an_answer_in_the_readme(question):
    page = (ROOT / "docs" / "experiments" / f"{question}.md").read_text()
    assert page.startswith(f"# {question.replace('_', ' ').capitalize()}?\n")
    assert f"python train.py experiment={question}" in page
    assert f"({question}.png)" in page
    assert page.count("<!-- results -->") == 2
    assert len(re.findall(r"^\| .*±", page, re.MULTILINE)) >= 6
    assert f"](docs/experiments/{question}.md) |" in README


def test_every_verdict_is_told():
    assert all(f"`{verdict}`" in README for verdict in EXPLAINED)


def links(page):
    return [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if not link.startswith("http")]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    assert all((page.parent / link).exists() for link in links(page))


def test_each_row_beside_the_peers_says_what_was_read():
    head, _, *rows = re.search(r"^\| \| flatspot (?:.*\n)(?:\|.*\n)+", README, re.MULTILINE)[0].splitlines()
    page = (ROOT / "docs" / "peers.md").read_text()
    said = [section.splitlines()[0].lower() for section in page.split("\n## ")[1:]]
    assert said == [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert all(f"\n| {peer} | " in page for peer in head.strip("| ").split(" | ")[1:])


def test_the_readme_leads_to_the_pages():
    assert len(links(ROOT / "README.md")) >= 8


def test_constraints_pin_every_dependency():
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    declared = re.findall(r'^ {4}"([a-zA-Z0-9-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(declared) > 12
    assert {name.lower() for name in declared} <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
