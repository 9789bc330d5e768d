"""The blocks of code of the pages, and which test takes each: for the tests, and for docs/docs-tests.md.

A runner takes its blocks from `taken`, so that what is assigned to it here is run; a block that no line of `PLAN` fits
has no runner, and fails tests/test_docs.py.
"""

import re
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path
from textwrap import dedent
from typing import Literal, NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^\n]*)\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced block.

    page: from the root. kind: what stands behind its opening fence; empty if nothing does. text: without indentation.
    """

    page: str
    kind: str
    text: str


class Runner(NamedTuple):
    """What becomes of a block. does: in a sentence, for docs/docs-tests.md. test: the file. way: how far that goes."""

    does: str
    test: str
    way: Literal["run", "checked", "measured"] = "run"


class Line(NamedTuple):
    """The runner of blocks. page: a pattern. begins: how their text does. by: where it was measured, what made it."""

    page: str
    kind: str
    runner: str
    begins: str = ""
    by: str = ""


RUNNERS = {
    "installed": Runner(
        "The two commands of the README, held word for word; `.ci/run` takes the second from there and runs it.",
        "tests/test_readme.py",
        "checked",
    ),
    "composed": Runner(
        "Each command's keys are composed and checked as a run's are, and its model is built; of `flatspot`'s other "
        "commands the options are known, and only the run is missing.",
        "tests/test_readme.py",
        "checked",
    ),
    "run": Runner("The program runs, whole, in a process of its own.", "tests/test_readme.py"),
    "followed": Runner(
        "Programs and commands are run one after another in one folder, as a reader would; what a page shows is "
        "compared word for word with what came, figures aside.",
        "tests/test_tutorials.py",
    ),
    "compared": Runner(
        "The command is run, and its words are those that are shown, figures aside.", "tests/test_docs.py"
    ),
    "tabled": Runner(
        "A sweep's table, measured. From its own figures the code writes the same lines: how many jobs, heads, order.",
        "tests/test_docs.py",
        "measured",
    ),
    "measured": Runner(
        "Measured, and not run by a test. A network's error beside the best baseline is what the table's own figures "
        "give.",
        "tests/test_docs.py",
        "measured",
    ),
    "refused": Runner("The command or file is typed, and refused in these words.", "tests/test_docs.py"),
    "given": Runner(
        "A few lines that need a model and loaders: run with small ones, on the CPU where there is no GPU.",
        "tests/test_docs.py",
    ),
    "pointed": Runner("Each line is put into a project, and the monitor looks where it says.", "tests/test_docs.py"),
    "configured": Runner("Written to the file that is named; a run reads it by `--config-dir`.", "tests/test_docs.py"),
    "parsed": Runner(
        "Not run: bash parses each; its scripts, options, tests, markers, extras and keys are there.",
        "tests/test_docs.py",
        "checked",
    ),
    "included": Runner(
        "The file of `conf/` that is shown as it stands, which composes.", "tests/test_docs.py", "checked"
    ),
    "packaged": Runner(
        "The pages' modules and entry points are made a package, which is installed and run by its names.",
        "tests/test_extensions.py",
    ),
    "examined": Runner("The program is built and examined; the doctor says these words.", "tests/zoo/test_zoo.py"),
    "made": Runner("Made in a copy of the source, which is then run.", "tests/test_contributing.py"),
    "held": Runner("Held against `.ci/run`, and against the import contract.", "tests/test_contributing.py", "checked"),
}

PLAN = [
    Line("README.md", "bash", "installed"),
    Line("README.md", "python", "run"),
    Line("README.md", "toml", "packaged"),
    Line("README.md", "yaml", "configured"),
    Line("README.md", "text", "compared", "test error in sunspots "),
    Line("README.md", "text", "compared", "$ flatspot train "),
    Line("README.md", "text", "tabled", "9 jobs: ", "the first of the two commands above it"),
    Line("README.md", "text", "refused", "error: "),
    Line("CONTRIBUTING.md", "bash", "parsed"),
    Line("CONTRIBUTING.md", "console", "held"),
    Line("CONTRIBUTING.md", "text", "held", "flatspot.cli "),
    Line("CONTRIBUTING.md", "python", "made"),
    Line("CONTRIBUTING.md", "yaml", "made"),
    Line("RELEASING.md", "bash", "parsed"),
    Line("docs/tutorials/*.md", "python", "followed"),
    Line("docs/tutorials/*.md", "console", "followed"),
    Line("docs/tutorials/*.md", "text", "followed"),
    Line("docs/index.md", "python", "given"),
    Line("docs/index.md", "text", "compared", "$ flatspot train "),
    Line("docs/doctor.md", "python", "followed"),
    Line("docs/doctor.md", "text", "followed"),
    Line("docs/monitors.md", "python", "run"),
    Line("docs/monitors.md", "text", "pointed", "OutputDiversityMonitor("),
    Line("docs/data.md", "text", "compared", "data   sunspots_monthly.csv: "),
    Line("docs/data.md", "text", "measured", "data   ", "the command above it, on a file that is not bundled"),
    Line("docs/sweeps.md", "text", "measured", "1 killed(-9) ", "by hand, as `scripts/kill_and_resume.py` does it now"),
    Line("docs/sweeps.md", "text", "tabled", "", "the command above it, with the settings that stand below it"),
    Line("docs/zoo.md", "text", "examined"),
    Line("docs/how-to/gpu.md", "python", "given"),
    Line("docs/how-to/new-*.md", "python", "packaged"),
    Line("docs/how-to/new-*.md", "toml", "packaged"),
    Line("docs/how-to/new-data-set.md", "yaml", "configured"),
    Line("docs/how-to/new-data-set.md", "bash", "configured", "flatspot train --config-dir "),
    Line("docs/how-to/*.md", "bash", "parsed"),
    Line("docs/reference/configuration.md", "yaml", "included"),
    Line("docs/*.md", "console", "composed"),
    Line("README.md", "console", "composed"),
]
"""The first line that fits a block is the one that counts; `*` in a page's name stands for folders, too."""


def blocks_of(page):
    """The blocks of a page, from the first to the last."""
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, kind.strip(), dedent(text)) for _, _, kind, text in FENCE.findall(page.read_text("utf-8"))]


def line_of(block):
    """The line of the plan that a block is run by; None where there is none."""
    fitting = (
        each
        for each in PLAN
        if each.kind == block.kind and fnmatch(block.page, each.page) and block.text.startswith(each.begins)
    )
    return next(fitting, None)


def taken(runner, page="*"):
    """The blocks of a runner, on the pages of a pattern."""
    blocks = (block for path in PAGES for block in blocks_of(path) if fnmatch(block.page, page))
    return [block for block in blocks if (line := line_of(block)) and line.runner == runner]


def table():
    """For each page that has blocks and each kind, how many there are of each runner; `nobody` where it is none."""
    counts = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for block in (block for path in PAGES for block in blocks_of(path)):
        line = line_of(block)
        counts[block.page][block.kind][line.runner if line else "nobody"] += 1
    return counts
