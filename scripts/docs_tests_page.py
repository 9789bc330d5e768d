"""Write docs/docs-tests.md: which test runs each block of code of the pages.

    python scripts/docs_tests_page.py

The plan is the one that the tests take their blocks from: tests/pages.py.
"""

import importlib.util
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]

KINDS: Final = ("console", "python", "text", "bash", "yaml", "toml")

HEAD: Final = """# How each block of code is tested

{blocks} blocks of code stand on {pages} pages, and a test takes each: {run} are run, or compared with what was run;
{checked} are composed, parsed or held against what they name, as far as that goes without a cluster, a release or a
network; {measured} show what was measured elsewhere, and say how.

A block that no test takes fails `tests/test_docs.py`, and so does this page where it is not fresh. It is written by
`scripts/docs_tests_page.py` from the plan by which the tests take their blocks, `tests/pages.py`. Pages that are not
named have no blocks. Examples in docstrings are doctests, run with the other tests."""

MEASURED: Final = """## What was measured

A test runs none of these; where it can, it holds their lines against what their own figures give."""


def _plan() -> ModuleType:
    path = ROOT / "tests" / "pages.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file of ours
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {runner}" for runner, count in counts.items())


def _pages(table: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    yield _row(["page", *KINDS])
    yield _row(["---"] * (len(KINDS) + 1))
    for page, counts in table.items():
        yield _row([f"`{page}`", *(_told(counts.get(kind, {})) for kind in KINDS)])


def _legend(plan: ModuleType) -> Iterator[str]:
    yield _row(["word", "what is done", "blocks", "where"])
    yield _row(["---", "---", "--:", "---"])
    for name, runner in plan.RUNNERS.items():
        yield _row([name, runner.does, str(len(plan.taken(name))), f"`{runner.test}`"])


def _measured(plan: ModuleType) -> Iterator[str]:
    yield _row(["page", "begins", "made by"])
    yield _row(["---"] * 3)
    for path in plan.PAGES:
        for block in plan.blocks_of(path):
            line = plan.line_of(block)
            if line is not None and line.by:
                yield _row([f"`{block.page}`", f"`{block.text.strip().splitlines()[0][:48].rstrip()}`", line.by])


def page() -> str:
    """The whole page in Markdown."""
    plan = _plan()
    table, measured = plan.table(), [*_measured(plan)]
    ways: Counter[str] = Counter()
    for name, runner in plan.RUNNERS.items():
        ways[runner.way] += len(plan.taken(name))
    head = HEAD.format(blocks=ways.total(), pages=len(table), **ways)
    tables = [
        "\n".join(_pages(table)),
        "## What the words mean",
        "\n".join(_legend(plan)),
        MEASURED,
        "\n".join(measured),
    ]
    return "\n\n".join([head, *tables]) + "\n"


def main() -> None:
    """Write it."""
    (ROOT / "docs" / "docs-tests.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
