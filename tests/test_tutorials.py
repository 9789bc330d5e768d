"""The tutorials are followed to the letter and say what their programs say; what how-to pages show composes."""

import contextlib
import io
import logging
import re
import shlex
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra import compose, initialize_config_dir
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.cli.schema import checked
from flatspot.cli.train import conf_dir
from flatspot.rules import RULES

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))

BEGINNINGS = {("python", "train.py"): ROOT / "train.py", ("flatspot",): Path(sys.executable).parent / "flatspot"}
"""What the pages' commands begin with, and the program that it is here."""

SHORTER = ("report=none",)
"""What is appended to a sweep here, and to nothing else: its jobs' pages, which nobody opens, take time."""

NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")
"""Figures are those of one machine; words are those of any."""

CAUSE = re.compile(r"^ *\d\. ([a-z-]+) \(", re.MULTILINE)

VERDICT = re.compile(r"^(?:verdict +)?([a-z-]+): the outputs", re.MULTILINE)


class Block(NamedTuple):
    kind: str
    text: str


def blocks(page):
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)]


class Reader:
    """Follows a page: its Python in one namespace, its commands one after another, all in one folder."""

    def __init__(self, python, folder):
        self.python, self.folder, self.namespace = python, folder, {"__name__": "__main__"}

    def follow(self, block, code):
        """What the block printed; its commands are to end with this exit code."""
        if block.kind == "python":
            return self.execute(block.text)
        return "".join(self.type(line, code) for line in block.text.splitlines())

    def execute(self, program):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(program, "<page>", "exec"), self.namespace)  # noqa: S102 - it is what a reader does
        return said.getvalue()

    def type(self, command, code):
        words = shlex.split(command.removeprefix("$ "))
        typed = next(each for each in BEGINNINGS if tuple(words[: len(each)]) == each)
        shorter = SHORTER if "-m" in words else ()
        done = self.python.run(BEGINNINGS[typed], *words[len(typed) :], *shorter, cwd=self.folder)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout + done.stderr


def masked(text):
    """The words of a text in a line, without figures and however it was wrapped."""
    return " ".join(NUMBER.sub("#", text).split())


def pieces(shown):
    """What a page shows, cut where it leaves something out."""
    return [piece.strip("\n") for piece in re.split(r"^ *\.\.\.$", shown, flags=re.MULTILINE) if piece.strip()]


@pytest.fixture
def quiet():
    """Handlers that a page's programs add are taken away again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_there_are_five():
    assert len(TUTORIALS) == 5


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_page_can_be_followed_and_prints_what_it_shows(page, python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader, printed, compared = Reader(python, tmp_path), "", 0
    for block, after in pairwise([*blocks(page), Block("", "")]):
        if block.kind in ("python", "console"):
            printed = reader.follow(block, foreseen(block, after))
        else:
            assert block.kind == "text"
            compare(block.text, printed)
            compared += 1
    assert compared >= 4


def foreseen(block, after):
    """The exit code, by what is shown behind a command: what is refused ends with 2, a doctor's cause with 1."""
    if after.kind != "text":
        return 0
    if after.text.startswith("error:"):
        return 2
    return int("flatspot doctor" in block.text and bool(CAUSE.search(after.text)))


def compare(shown, printed):
    """The same verdicts and the same first cause; the same words all through."""
    said = masked(printed)
    assert VERDICT.findall(shown) == VERDICT.findall(printed)[: len(VERDICT.findall(shown))]
    assert CAUSE.findall(shown)[:1] == CAUSE.findall(printed)[: len(CAUSE.findall(shown)[:1])]
    for piece in pieces(shown):
        lines = [piece] if "seen" in piece else piece.splitlines()  # a report may be wrapped elsewhere
        for line in (masked(each) for each in lines):
            assert line in said, f"{line!r} is not in {said!r}"


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_cause_that_is_named_is_one(page):
    causes = [cause for block in blocks(page) if block.kind == "text" for cause in CAUSE.findall(block.text)]
    assert set(causes) <= set(RULES)


def test_the_three_causes_that_people_ask_about_are_found_and_mended():
    page = (ROOT / "docs" / "tutorials" / "why-is-my-rnn-flat.md").read_text()
    reports = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    first = [(VERDICT.findall(report)[0], *CAUSE.findall(report)[:1]) for report in reports]
    well = ("healthy",)
    assert first == [
        well,
        ("flat", "input-never-arrives"),
        well,
        ("varied-but-wrong", "state-leak"),
        well,
        ("flat", "head-range"),
        well,
        ("flat", "vanishing-gradient"),
        well,
        ("flat", "unscaled-inputs"),
        well,
        ("flat", "redundant-inputs"),
        well,
    ]


EXTRAS = {
    "sweep=ray": "hydra_plugins.hydra_ray_launcher",
    "sweep=slurm": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "sweep=cores": "hydra_plugins.hydra_joblib_launcher",
    "sweep=search": "hydra_plugins.hydra_optuna_sweeper",
}
"""What needs an extra, and the module that it brings."""


def how_to_commands():
    for page in HOW_TO:
        for block in blocks(page):
            lines = (line.removeprefix("$ ") for line in block.text.splitlines() if block.kind == "console")
            yield from (line for line in lines if line.startswith(("python train.py", "flatspot ")))


@pytest.mark.parametrize("command", sorted(set(how_to_commands())))
def test_every_command_of_a_how_to_page_composes(command):
    words = shlex.split(command)
    if words[0] == "flatspot" and words[1] != "train":
        options_are_known(words[1:])
        return
    for extra in EXTRAS.keys() & set(words):
        if find_spec(EXTRAS[extra]) is None:
            pytest.skip(f"{extra} needs an extra that is not installed")
    overrides = [re.sub(r"=range\(\d+\)$", "=0", word) for word in words[2:] if word != "-m"]
    overrides = [re.sub(r"^([\w.]+=[^\[]*?),.*", r"\1", word) for word in overrides]  # of a sweep, the first job
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        checked(compose("train", overrides))


def options_are_known(words):
    """What is missing is the run, where one is named."""
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code in (0, 2)
    assert answer.exit_code == 0 or "there is no such run folder" in answer.output
