"""Every block of code on the pages is taken by a test, and docs/docs-tests.md says how; here is what no other takes."""

import copy
import csv
import math
import re
import runpy
import shlex
import subprocess
import tomllib
from functools import partial
from itertools import pairwise

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning import LightningModule, Trainer
from pages import FENCE, PAGES, PLAN, ROOT, RUNNERS, Block, blocks_of, line_of, taken
from reader import Reader, compare, masked
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from typer.testing import CliRunner

import flatspot
from flatspot.cli.app import app
from flatspot.cli.help import conf_dir
from flatspot.cli.schema import checked
from flatspot.monitors import OutputDiversityMonitor
from flatspot.report.sweep import Job, summary
from flatspot.report.text import BASELINES, beside_the_best

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def name_of(block):
    return f"{block.page}: {block.text.splitlines()[0]:.40}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_block_is_run_by_nobody(page):
    assert [block for block in blocks_of(page) if line_of(block) is None] == []
    assert not re.search("^ *(```|~~~)", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE), "a fence is left open"


@pytest.mark.parametrize(
    ("page", "kind", "text"),
    [
        ("docs/new.md", "python", "print(1)\n"),  # a program of a page that no test knows
        ("README.md", "julia", "1\n"),
        ("README.md", "", "no language\n"),
        ("docs/data.md", "text", "what nobody compares\n"),
    ],
)
def test_a_new_block_is_one(page, kind, text):
    assert line_of(Block(page, kind, text)) is None


def test_the_plan_names_no_block_that_is_not_there():
    counted = [line_of(block) for page in PAGES for block in blocks_of(page)]
    assert [line for line in PLAN if line not in counted] == []
    assert {line.runner for line in PLAN} == set(RUNNERS)


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_a_runner_runs_is_what_the_plan_gives_it(runner):
    assert f'taken("{runner}"' in (ROOT / RUNNERS[runner].test).read_text("utf-8")


def test_what_is_not_run_says_where_it_was_measured():
    assert {line.runner for line in PLAN if line.by} == {"measured", "tabled"}
    assert all(line.by for line in PLAN if line.runner in {"measured", "tabled"})


def test_the_page_is_fresh():
    page = runpy.run_path(str(ROOT / "scripts" / "docs_tests_page.py"))["page"]()
    assert (ROOT / "docs" / "docs-tests.md").read_text("utf-8") == page, "run scripts/docs_tests_page.py"


# Output that is shown, and the command that is run for it.


@pytest.fixture(scope="module")
def sunspots(python, tmp_path_factory):
    """What the shortest command prints; two epochs are enough for a healthy network."""
    return Reader(python, tmp_path_factory.mktemp("sunspots")).type(
        "python train.py", 0, "trainer.max_epochs=2", "examine=quick"
    )


@pytest.fixture(scope="module")
def slow(python, tmp_path_factory):
    """What each command of the sick run prints."""
    reader = Reader(python, tmp_path_factory.mktemp("slow"))
    (cured,), (told,) = (taken("compared", page)[-1:] for page in ("README.md", "docs/index.md"))
    first, cure = commands(cured)
    again, doctor = commands(told)
    assert first == again
    reader.type(first, 0, "report=none", "logger=none")
    printed = {doctor: reader.type(doctor, 1), cure: reader.type(cure, 1)}
    assert not [*reader.folder.rglob("*cure*")]
    return printed


def commands(block):
    return [line for line in block.text.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("block", taken("compared"), ids=name_of)
def test_it_prints_what_is_shown(block, request):
    if typed := commands(block):
        _, shown = block.text.split(f"{typed[-1]}\n")
        compare(shown, request.getfixturevalue("slow")[typed[-1]])
    else:  # the same series, as a file or bundled; it may err more than ridge, or less
        shown, printed = block.text.replace("sunspots_monthly.csv", "sunspots"), request.getfixturevalue("sunspots")
        compare(*(re.sub("% (more|less) than", "% off", text) for text in (shown, printed)))


def test_the_cure_is_tried_confirmed_and_told_as_a_command(slow):
    *_, printed = slow.values()
    tried = [line.split() for line in printed.splitlines() if line.startswith("optimizer.lr=")]
    first, *best = tried
    assert [each[0] for each in best] == [best[0][0]] * 2  # with the run's seed, and with another
    assert all(float(each[2]) > 0.5 > float(first[2]) for each in best)  # skill
    (told,) = (line for line in printed.splitlines() if line.startswith("python train.py "))
    same = "data=sines data.scale=none data.scale_target=none model.cell=rnn trainer.max_epochs=3"
    assert told in {f"python train.py {same} {extra}{best[0][0]}" for extra in ("", "report=none logger=none ")}


# Output that is shown, and was measured.


OFFSETS = {1: (0.0,), 2: (-(0.5**0.5), 0.5**0.5), 3: (-1.0, 0.0, 1.0)}
"""As many numbers of mean 0, and of a sample's standard deviation 1."""


def figures(cell, seeds):
    """A number for each seed that would give such a cell."""
    mean, _, std = (each.replace(",", "") for each in cell.partition(" ± "))
    spread = [float(mean) + float(std or 0) * offset for offset in OFFSETS[seeds]]
    return spread if std or seeds == 1 else [float(mean), *[math.nan] * (seeds - 1)]


def verdicts(cell, seeds):
    found = (each.split() for each in cell.split(", "))
    return [name for name, *count in found for _ in range(int(*count or [seeds]))]


def jobs_of(table, seeds):
    """Jobs that would give such a table."""
    head, _, *rows = (re.split(r"\s{2,}", line) for line in table.splitlines())
    for cells in rows:
        row = dict(zip(head, cells, strict=True))
        settings = {key: row[key] for key in head[: head.index("runs")]}
        columns = (figures(row[key], seeds) for key in ("MAE", "R²", "diversity", "half-life", "fit seconds"))
        for seed, (mae, r2, ratio, life, fit), verdict in zip(
            range(seeds), zip(*columns, strict=True), verdicts(row["verdict"], seeds), strict=True
        ):
            metrics = {"test": {"mae": mae, "r2": r2}, "diversity": {"ratio": ratio}, "fit_seconds": fit}
            metrics |= {"verdict": verdict, "findings": []}
            yield Job(0, "", settings | {"seed": str(seed)}, metrics, half_life=life)


def combinations(command):
    """How many jobs a command makes of the values that commas part."""
    return math.prod(word.count(",") + 1 for word in shlex.split(command) if re.match(r"[\w.]+=[^\[]*$", word))


@pytest.mark.parametrize("block", taken("tabled"), ids=name_of)
def test_a_sweeps_table_is_the_one_that_its_figures_give(block):
    shown, left_out, _ = f"{block.text}...\n".partition("\n...\n")
    left_out = left_out and shown != block.text
    title, table, *others = re.search(r"^\d+ jobs: .*", shown, re.DOTALL | re.MULTILINE)[0].split("\n\n")
    jobs = list(jobs_of(table, seeds=int(re.search(r"× (\d+) seed", title)[1])))
    again, same, *beside = summary(jobs).split("\n\n")
    assert (again, same) == (title, table.rstrip())
    assert left_out or [*map(masked, beside)] == [*map(masked, others)]  # of pairs the figures are not shown


@pytest.mark.parametrize("block", taken("tabled"), ids=name_of)
def test_a_sweeps_table_is_of_the_command_above_it(block):
    page = blocks_of(ROOT / block.page)
    typed = page[page.index(block) - 1].text.splitlines()
    jobs, settings = map(int, re.search(r"^(\d+) jobs: (\d+) settings", block.text, re.MULTILINE).groups())
    if "sweep=search" in typed[0]:  # which counts trials
        assert f"hydra.sweeper.n_trials={jobs}`" in (ROOT / block.page).read_text("utf-8")
    else:
        assert jobs in map(combinations, typed)
        assert jobs % settings == 0


ERRORS = [
    block
    for page in PAGES
    for block in blocks_of(page)
    if re.search(r"^test error in .* units\) .*^training mean ", block.text, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("block", ERRORS, ids=name_of)
def test_how_far_a_network_errs_beside_the_best_baseline_is_what_its_table_says(block):
    rows = dict(re.findall(r"^(\S.*?) {2,}([\d.,]+) .*\d$", block.text, re.MULTILINE))
    errors = {label: float(mae.replace(",", "")) for label, mae in rows.items()}
    baselines = {name: {"mae": errors.pop(label)} for name, label in BASELINES if label in errors}
    (own,) = (error for label, error in errors.items() if label.endswith(" units)"))
    (said,) = beside_the_best({"test": {"mae": own}, "baseline": baselines})
    assert f"\nerrs             {said}\n" in block.text


def test_what_was_measured_has_errors_or_is_what_a_script_says():
    assert [block for block in taken("measured") if block not in ERRORS] == taken("measured", "docs/sweeps.md")


# What is refused.


SALES = [["day", "price", "sales", "visitors"], *([f"2024-01-{day:02}", 2.5, day, 30 + day] for day in range(1, 31))]

TYPED = {
    "'seven' is not a number": "data=csv data.path=my.csv data.target=sales",
    "no column 'sale'": "data=csv data.path=my.csv data.target=sale",
    "model.activaton": "model.activaton=relu",
    "'rellu'": "model.activation=rellu",
    "data.lag": "data.lag=20",
}
"""What draws a sentence, by a part of the sentence."""


@pytest.mark.parametrize("line", [line for block in taken("refused") for line in block.text.splitlines()])
def test_it_is_refused_in_these_words(line, tmp_path, python):
    rows = [list(row) for row in SALES]
    rows[17][2] = "seven"
    with (tmp_path / "my.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (typed,) = (command for part, command in TYPED.items() if part in line)
    said = Reader(python, tmp_path).type(f"python train.py {typed}", 2)
    assert re.fullmatch(".*".join(map(re.escape, line.split("..."))), said.strip()), said


# A few lines that need something given.


def test_the_lines_for_ones_own_model_run(capsys):
    torch.manual_seed(0)
    x = torch.randn(96, 5, 1)
    loader = DataLoader(TensorDataset(x, x[:, 0]), batch_size=32)
    model, loss = nn.Sequential(nn.Flatten(), nn.Linear(5, 1)), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    given = {
        "flatspot": flatspot,
        "Net": partial(copy.deepcopy, model),
        "model": model,
        "loss": loss,
        "optimizer": optimizer,
    }
    given |= dict.fromkeys(("train", "val", "train_loader", "val_loader"), loader)
    given["Trainer"] = partial(Trainer, accelerator="cpu", logger=False)
    for block in taken("given"):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        exec(block.text.replace('device="cuda"', f'device="{device}"'), given)  # noqa: S102 - it is what a reader does
    assert given["report"].verdict in capsys.readouterr().out
    assert set(given["monitors"]) <= set(given["trainer"].callbacks)


class TwoHeads(LightningModule):
    """Its `forward` gives what differs; the other head says one thing to all."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.ModuleDict({"head": nn.Linear(4, 1)})
        nn.init.zeros_(self.decoder["head"].weight)

    def forward(self, x):
        return x[:, :1]

    def training_step(self, batch, batch_idx):
        x, y = batch
        y_hat = self.decoder["head"](x)
        self(x)
        return self.end(nn.functional.mse_loss(y_hat, y), y_hat, y)

    def end(self, loss, y_hat, y):
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def test_a_monitor_that_is_pointed_looks_there(trainer_options):
    (block,) = taken("pointed")
    monitor, returned = (line.partition("   #")[0] for line in block.text.splitlines())
    given = {"OutputDiversityMonitor": OutputDiversityMonitor}
    exec(f"def end(self, loss, y_hat, y):\n    {returned}", given)  # noqa: S102 - it is what a reader does

    def ratio(callback, kind=TwoHeads):
        trainer = Trainer(**trainer_options, max_epochs=1, callbacks=[callback], log_every_n_steps=1)
        x = torch.randn(64, 4)
        trainer.fit(kind(), DataLoader(TensorDataset(x, x[:, :1]), batch_size=16))
        return float(trainer.callback_metrics["diversity/ratio_train"])

    assert ratio(OutputDiversityMonitor()) == pytest.approx(1, abs=0.01)
    assert ratio(eval(monitor, given)) < 0.01  # noqa: S307
    assert ratio(OutputDiversityMonitor(), type("Told", (TwoHeads,), {"end": given["end"]})) < 0.01


# Files and commands.


@pytest.mark.parametrize("text", sorted({block.text for block in taken("configured") if block.kind == "yaml"}))
def test_ones_own_yaml_is_read_by_the_command_that_is_shown(text, run_of, tmp_path, monkeypatch):
    (command,) = (block.text.strip() for block in taken("configured") if block.kind == "bash")
    for block in taken("configured", "*.md"):
        assert f"`{command}`" in (page := (ROOT / block.page).read_text("utf-8")) or command in page
        assert "`my_conf/data/mine.yaml`" in page
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conf" / "data").mkdir(parents=True)
    (tmp_path / "my_conf" / "data" / "mine.yaml").write_text(text)
    with (tmp_path / "sales.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["sales"], *([math.sin(day)] for day in range(400))])
    run = run_of(*shlex.split(command)[2:], "examine=none", "report=none")
    assert "path: sales.csv" in (run / "config.yaml").read_text()


@pytest.mark.parametrize("block", taken("included"), ids=name_of)
def test_what_is_included_is_a_configuration(block):
    (path,) = re.fullmatch(r'--8<-- "(\S+)"\n', block.text).groups()
    assert path == "train.yaml" or path in {str(each.relative_to(conf_dir())) for each in conf_dir().glob("*/*.yaml")}


def test_every_optimizer_is_included():
    shown = {path for block in taken("included") for path in re.findall(r"optimizer/\w+", block.text)}
    assert shown == {f"optimizer/{path.stem}" for path in (conf_dir() / "optimizer").glob("*.yaml")}


def check_pip(words):
    for extras in re.findall(r"\[(.*?)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).is_file()


def check_pytest(words):
    marks = [mark.partition(":")[0] for mark in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    named = {option: value for option, value in pairwise([*words, ""]) if option.startswith("-")}
    assert set(named) <= {"-m", "-n", "-k"}
    assert named.get("-m", marks[0]) in marks
    assert all((ROOT / word).exists() for word in words if word not in {*named, *named.values()})


def check_python(words):
    if words[0] == "-m":
        assert words[1] == "venv" or any(each.startswith(words[1]) for each in dev())
        return
    text = (ROOT / words[0]).read_text("utf-8")
    assert all(f'"{word}"' in text for word in words if word.startswith("--"))


def check_twine(words):
    assert any(each.startswith("twine") for each in dev())
    assert words[0] == "upload" or "twine check --strict " in (ROOT / ".ci" / "run").read_text("utf-8")


def check_flatspot(words):
    if words[0] == "train":
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            checked(compose("train", words[1:]))
        return
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0 or ": there is no such run folder" in answer.output


def dev():
    return PROJECT["project"]["optional-dependencies"]["dev"]


CHECKS = {"pip": check_pip, "pytest": check_pytest, "python": check_python, "twine": check_twine}
CHECKS |= {"flatspot": check_flatspot, "run": lambda words: (ROOT / ".ci" / "run").stat()}
CHECKS |= dict.fromkeys(("cd", "git", "mktemp", "rm"), lambda words: None)
"""Of the programs that a shell is told to run, what there is to know without a network, a tag or an upload."""


@pytest.mark.parametrize("block", taken("parsed"), ids=name_of)
def test_a_shells_lines_can_be_read_and_what_they_name_is_there(block, tmp_path, monkeypatch):
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    for command in re.split(r" && |\n", re.sub(r"\w+=\$\((.*)\)", r"\1", block.text.strip())):
        program, *words = shlex.split(command)
        CHECKS[program.rpartition("/")[2]](words)
